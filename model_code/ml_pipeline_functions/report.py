"""What a function says in its log: one line of JSON for each call."""

from __future__ import annotations

import json


def log(**fields: object) -> None:
    """Write a line.

    Args:
        fields: What it says, for example ``trigger`` and ``status``.
    """
    print(json.dumps(fields, ensure_ascii=False, default=str), flush=True)
