"""Every pattern that this app can deploy. A new one: its module, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import PatternStack
from .realtime_inference import RealtimeInference

PATTERNS: Mapping[str, type[PatternStack[Any]]] = {
    stack.pattern: stack
    for stack in (
        RealtimeInference,
    )
}  # fmt: skip
"""Name in the configuration to stack."""
