"""A release that must not go live: it loads and answers health checks well, then fails on every call.

Version v2 of the blue/green deployment: only real traffic shows that it is broken, so the alarms have to stop
it. Requests are read as the sentiment model reads them; a good one is answered with status 500.
"""

from __future__ import annotations

from typing import NoReturn

from formats import read_texts


class FaultyRelease(RuntimeError):
    """This release fails on purpose."""


def model_fn(model_dir: str) -> str:
    """Load nothing, well: the server comes up healthy."""
    return model_dir


def input_fn(input_data: str | bytes, content_type: str | None) -> list[str]:
    """Read the texts of a request; see `formats.read_texts`."""
    return read_texts(input_data, content_type)


def predict_fn(texts: list[str], model: str) -> NoReturn:
    """Fail.

    Raises:
        FaultyRelease: Always.
    """
    raise FaultyRelease(
        f"this release fails on every call, on purpose; this one had {len(texts)} texts, model from {model}. "
        "The deployment's alarms must return the traffic to the release before it"
    )
