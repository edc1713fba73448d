"""Errors that end a state of the workflow; Step Functions knows them by the name of their class."""

from __future__ import annotations


class NoInput(Exception):
    """There is nothing to score: no object, or none that can be read."""


class ObjectChanged(Exception):
    """An input object was replaced after it was claimed."""


class SinkThrottled(Exception):
    """The sink did not take all rows before the worker's time was over; the worker may be repeated."""


class TransformFailed(Exception):
    """The transform job left rows without an answer; all that it answered has landed."""


class ReconcileFailed(Exception):
    """Rows are missing or are too many, and nobody knows why."""
