"""Fixtures: those of the jobs, on which pipelines stand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox_jobs.conftest import refused, sagemaker, wired, workshop
from tests.sandbox_jobs.workshop import Workshop
from tests.sandbox_pipelines.definitions import Runner

__all__ = ["refused", "runner", "sagemaker", "wired", "workshop"]


@pytest.fixture
def runner(sagemaker: Any, workshop: Workshop) -> Runner:
    """Pipelines of the workshop."""
    return Runner(sagemaker, workshop)
