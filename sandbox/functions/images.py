"""Images on disk: what the sandbox has in place of docker's images, by digest, with names of docker's own."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path

_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"


@dataclass
class ImageConfig:
    """How an image starts.

    Args:
        base: The image that it is built on.
        platform: For example ``linux/arm64``.
        python: Version of Python in the base, for example ``3.12``; empty when it does not say.
        environment: Its variables.
        work_dir: Its working directory.
        command: CMD: the handler, as a list of one.
        entry_point: ENTRYPOINT; empty for the base's own.
        labels: Its labels.
    """

    base: str
    platform: str
    python: str
    environment: dict[str, str] = field(default_factory=dict)
    work_dir: str = "/"
    command: list[str] = field(default_factory=list)
    entry_point: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    def copy(self) -> ImageConfig:
        """Another one with the same content."""
        return replace(
            self,
            environment=dict(self.environment),
            command=list(self.command),
            entry_point=list(self.entry_point),
            labels=dict(self.labels),
        )


@dataclass(frozen=True)
class Image:
    """An image.

    Args:
        digest: Of its manifest, ``sha256:...``.
        root: Folder with its files, by their absolute paths.
        config: How it starts.
        manifest: As it is pushed.
        size: Bytes of its files.
    """

    digest: str
    root: Path
    config: ImageConfig
    manifest: str
    size: int


class ImageStore:
    """Images of one sandbox, shared by the processes of the CDK CLI and the sandbox's own.

    An image is a folder that never changes; it appears under its digest when it is whole.

    Args:
        folder: Where they are; made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = folder / "names"

    def work_dir(self) -> Path:
        """A new folder to lay an image out in, on the same disk."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self._folder, prefix="build-"))

    def add(self, root: Path, config: ImageConfig) -> Image:
        """Take in a laid-out image.

        Args:
            root: Its files; the folder is moved away.
            config: How it starts.
        """
        described, size = _describe(root, config)
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST_TYPE,
                "config": {
                    "mediaType": _CONFIG_TYPE,
                    "size": len(described),
                    "digest": f"sha256:{sha256(described).hexdigest()}",
                },
                "layers": [],
            }
        )
        digest = f"sha256:{sha256(manifest.encode()).hexdigest()}"
        target = self._path(digest)
        if not target.is_dir():
            part = self.work_dir()
            try:
                root.rename(part / "root")
                (part / "image.json").write_text(
                    json.dumps({"config": asdict(config), "manifest": manifest, "size": size}),
                    encoding="utf-8",
                )
                part.chmod(0o755)
                try:
                    part.rename(target)
                except OSError:
                    if not target.is_dir():  # somebody else was quicker with the same image
                        raise
            finally:
                shutil.rmtree(part, ignore_errors=True)
        return Image(digest, target / "root", config, manifest, size)

    def get(self, digest: str) -> Image | None:
        """An image by its digest."""
        folder = self._path(digest)
        try:
            stored = json.loads((folder / "image.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return Image(
            digest, folder / "root", ImageConfig(**stored["config"]), stored["manifest"], stored["size"]
        )

    def name(self, name: str, image: Image) -> None:
        """Give an image a local name, such as docker's tags; it may have had another image before."""
        self._names.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._names / sha256(name.encode()).hexdigest()
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.write_text(json.dumps({"name": name, "digest": image.digest}), encoding="utf-8")
        draft.replace(file)

    def named(self, name: str) -> Image | None:
        """The image of a local name."""
        try:
            stored = json.loads((self._names / sha256(name.encode()).hexdigest()).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return self.get(stored["digest"])

    def names(self) -> Iterator[str]:
        """All local names."""
        for file in sorted(self._names.glob("*")):
            if not file.suffix:
                yield json.loads(file.read_text(encoding="utf-8"))["name"]

    def _path(self, digest: str) -> Path:
        return self._folder / digest.replace(":", "-").replace("/", "")


def _describe(root: Path, config: ImageConfig) -> tuple[bytes, int]:
    """What an image's digest is made of, its configuration and its files; and the bytes of these."""
    total, size = sha256(), 0
    for path in sorted(root.rglob("*")):
        if not path.is_file() or path.suffix == ".pyc":  # byte code holds times
            continue
        content = path.read_bytes()
        size += len(content)
        total.update(
            f"\0{path.relative_to(root)}\0{path.stat().st_mode & 0o111:o}\0{len(content)}\0".encode()
        )
        total.update(content)
    described = {
        "architecture": config.platform.rpartition("/")[2],
        "os": "linux",
        "config": asdict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{total.hexdigest()}"]},
    }
    return json.dumps(described, sort_keys=True).encode(), size
