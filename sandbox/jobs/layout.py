"""The tree that a job's container sees in place of ``/opt/ml``.

Developer guide: "How Amazon SageMaker AI Processing Configures Your Processing Container", "How Amazon
SageMaker AI Provides Training Information".
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.jobs.failures import CLIENT_ERROR, JobFailed

_BASE = re.compile(r"(?<![\w./-])/opt/ml(?=[/\s'\":,;)]|\Z)")


class Tree:
    """Folders of one container.

    Args:
        root: The container's own folder; `base` below it is its ``/opt/ml``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = root / "opt" / "ml"

    def make(self, *folders: str) -> None:
        """Make the container's folders.

        Args:
            folders: Below ``/opt/ml``.
        """
        for name in ("root", "tmp"):
            (self.root / name).mkdir(parents=True)
        for name in folders:
            (self.base / name).mkdir(parents=True, exist_ok=True)

    def path(self, inside: str) -> Path:
        """Where an absolute path of the container is.

        Raises:
            JobFailed: It is not below ``/opt/ml``, where alone the sandbox has files of the container.
        """
        parts = PurePosixPath(inside)
        if not parts.is_relative_to("/opt/ml") or ".." in parts.parts:
            raise JobFailed(CLIENT_ERROR, f"LocalPath must be below /opt/ml, not {inside!r}.")
        return self.base / parts.relative_to("/opt/ml")

    def translated(self, value: Any) -> Any:
        """A text, or all texts of a list or mapping, with the container's paths as they are here."""
        if isinstance(value, str):
            return _BASE.sub(lambda _: str(self.base), value)
        if isinstance(value, list):
            return [self.translated(item) for item in value]
        if isinstance(value, dict):
            return {key: self.translated(item) for key, item in value.items()}
        return value

    def write_json(self, inside: str, content: Any) -> None:
        """Write a configuration file of the container.

        Args:
            inside: Below ``/opt/ml``.
            content: What `json` writes.
        """
        file = self.base / inside
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, ensure_ascii=False, default=str), encoding="utf-8")

    def read_text(self, inside: str, limit: int) -> str:
        """The beginning of a file that the program may have left; empty when there is none.

        Args:
            inside: Below ``/opt/ml``.
            limit: Characters at most.
        """
        try:
            with (self.base / inside).open(encoding="utf-8", errors="replace") as file:
                return file.read(limit).strip()
        except OSError:
            return ""
