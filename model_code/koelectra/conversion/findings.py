"""All that is wrong with an export, said at once."""

from __future__ import annotations


class ExportRefused(Exception):
    """The model cannot be exported for reasons that the user can do something about.

    Args:
        findings: Each says what was wrong, where, and what to do.
    """

    def __init__(self, *findings: str) -> None:
        super().__init__("; ".join(findings))
