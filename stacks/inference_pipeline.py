"""Inference pipeline: 2 to 15 containers in a row, each fed by the one before."""

from __future__ import annotations

from typing import ClassVar

from sagemaker_serving.model import ContainerInvocation

from .several_containers import SeveralContainersStack


class InferencePipeline(SeveralContainersStack):
    """Inference pipeline: containers in series turn raw text into a readable answer."""

    pattern: ClassVar[str] = "inference-pipeline"
    invocation: ClassVar[ContainerInvocation] = ContainerInvocation.SERIAL
