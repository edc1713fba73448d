"""Every pattern that this app can deploy. A new one: its module, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .ab_test import AbTest
from .async_inference import AsyncInference
from .base import PatternStack
from .batch_inference import BatchInference
from .blue_green_deployment import BlueGreenDeployment
from .inference_pipeline import InferencePipeline
from .lambda_inference import LambdaInference
from .ml_pipeline import MlPipeline
from .multi_container_endpoint import MultiContainerEndpoint
from .realtime_inference import RealtimeInference
from .serverless_inference import ServerlessInference

PATTERNS: Mapping[str, type[PatternStack[Any]]] = {
    stack.pattern: stack
    for stack in (
        RealtimeInference,
        MultiContainerEndpoint,
        InferencePipeline,
        AbTest,
        BlueGreenDeployment,
        AsyncInference,
        BatchInference,
        ServerlessInference,
        LambdaInference,
        MlPipeline,
    )
}  # fmt: skip
"""Name in the configuration to stack."""
