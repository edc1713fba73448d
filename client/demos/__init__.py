"""Shows each deployed pattern working, without a question asked; the exit status tells whether it did."""

from __future__ import annotations

from collections.abc import Callable

from client.connection import Connection
from client.demos.ab_test import demo_ab_test
from client.demos.async_inference import demo_async
from client.demos.batch import demo_batch
from client.demos.blue_green import demo_blue_green
from client.demos.inference_pipeline import demo_inference_pipeline
from client.demos.lambda_inference import demo_lambda
from client.demos.ml_pipeline import demo_ml_pipeline
from client.demos.multi_container import demo_multi_container
from client.demos.outcome import Outcome
from client.demos.realtime import demo_realtime
from client.demos.serverless import demo_serverless
from client.patterns import DeployedPattern

DEMOS: dict[str, Callable[[Connection, DeployedPattern], Outcome]] = {
    "realtime": demo_realtime,
    "batch": demo_batch,
    "async": demo_async,
    "serverless": demo_serverless,
    "lambda": demo_lambda,
    "multi-container": demo_multi_container,
    "inference-pipeline": demo_inference_pipeline,
    "ab-test": demo_ab_test,
    "blue-green": demo_blue_green,
    "ml-pipeline": demo_ml_pipeline,
}
