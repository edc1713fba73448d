"""Fixtures: those of the jobs, on which pipelines stand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox_jobs.conftest import refused, sagemaker, wired, workshop
from tests.sandbox_jobs.workshop import Workshop, archive
from tests.sandbox_pipelines.definitions import Runner
from tests.sandbox_pipelines.whole_pipeline import PARAMETERS, SUBMIT, TRAIN, whole

__all__ = ["refused", "runner", "sagemaker", "wired", "workshop"]


@pytest.fixture
def runner(sagemaker: Any, workshop: Workshop) -> Runner:
    """Pipelines of the workshop."""
    return Runner(sagemaker, workshop)


@pytest.fixture
def made(runner: Runner, workshop: Workshop) -> Runner:
    """The whole pipeline with its data, code and functions."""
    workshop.s3.put("s3://in/raw/rows.csv", "head\na\nb\nc")
    workshop.s3.put(SUBMIT, archive({"train.py": TRAIN}))
    workshop.functions.functions["deploy"] = lambda event: {
        "endpoint": f"live-{event['package'][-1]}",
        "size": 2,
        "details": {"nested": True},
    }
    workshop.functions.functions["tell"] = lambda event: None
    runner.create("Whole", whole(), PARAMETERS)
    return runner
