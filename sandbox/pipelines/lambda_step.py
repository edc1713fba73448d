"""The Lambda step: a function is called once, its answer becomes OutputParameters."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Executor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws import LocalAws
from sandbox.clock import Clock
from sandbox.pipelines.parameters import TYPES
from sandbox.pipelines.records import Execution, StepFailed, StepRun
from sandbox.pipelines.references import as_text
from sandbox.store import Params

LONGEST = 600.0
"""AWS seconds that a Lambda step may take (developer guide, "Lambda step")."""
# functions do not run faster with the clock, real seconds
SHORTEST_SCALED = 60.0


class LambdaSteps:
    """Calls functions.

    Args:
        aws: Where Lambda is.
        clock: The time scale.
        executor: Where boto3 waits for functions.
        longest: AWS seconds that a step may take.
        shortest: Real seconds below which the scaled limit never falls.
    """

    def __init__(
        self,
        aws: LocalAws,
        clock: Clock,
        executor: Executor,
        longest: float = LONGEST,
        shortest: float = SHORTEST_SCALED,
    ) -> None:
        self._aws = aws
        self._executor = executor
        self._longest = longest
        self._limit = min(longest, max(shortest, clock.real(longest)))

    async def run(self, execution: Execution, run: StepRun, function: str, outputs: list[Params]) -> None:
        """Call a function.

        Args:
            execution: The execution.
            run: The step; its arguments are the event.
            function: FunctionArn.
            outputs: OutputParameters of the definition.

        Raises:
            StepFailed: The function fails, takes too long, or lacks an output.
        """
        run.metadata = {"Lambda": {"Arn": function, "OutputParameters": []}}
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limit):
                answer = await loop.run_in_executor(
                    self._executor, self._invoke, execution, function, run.arguments
                )
        except TimeoutError:
            raise StepFailed(
                f"The Lambda function {function} did not answer within the {self._longest:g} s of a Lambda "
                "step. It may still run."
            ) from None
        values = _outputs(answer, function, outputs)
        run.properties = {"OutputParameters": values}
        run.metadata["Lambda"]["OutputParameters"] = [
            {"Name": name, "Value": as_text(value)[:1024]} for name, value in values.items()
        ]

    def _invoke(self, execution: Execution, function: str, event: Params) -> Any:
        client = self._aws.client("lambda", execution.scope, patience=self._limit)
        try:
            answer = client.invoke(FunctionName=function, Payload=json.dumps(event, default=str).encode())
            payload = answer["Payload"].read()
        except (ClientError, BotoCoreError) as error:
            raise StepFailed(f"The Lambda function {function} could not be invoked: {error}") from error
        try:
            content = json.loads(payload or b"null")
        except ValueError as error:
            raise StepFailed(f"The Lambda function {function} did not answer JSON.") from error
        if answer.get("FunctionError"):
            raise StepFailed(f"The Lambda function {function} failed: {_error(content)}")
        return content


def _error(content: Any) -> str:
    if not isinstance(content, dict):
        return as_text(content)
    parts = [str(content[name]) for name in ("errorType", "errorMessage") if content.get(name)]
    return ": ".join(parts) or as_text(content)


def _outputs(answer: Any, function: str, outputs: list[Params]) -> Params:
    """OutputParameters by name.

    Raises:
        StepFailed: One is not in the answer, or of another type.
    """
    if outputs and not isinstance(answer, dict):
        raise StepFailed(
            f"The Lambda function {function} must answer an object, not {as_text(answer)[:100]}."
        )
    values: Params = {}
    problems = []
    for output in outputs:
        name, kind = output["OutputName"], output["OutputType"]
        if name not in answer:
            problems.append(f"it has no {name!r}")
            continue
        value = answer[name]
        if kind == "String":
            values[name] = as_text(value)  # nested values become strings
        elif _fits(value, kind):
            values[name] = value
        else:
            problems.append(f"{name!r} is {as_text(value)[:100]}, not of type {kind}")
    if problems:
        raise StepFailed(
            f"The answer of the Lambda function {function} does not fit OutputParameters: "
            f"{'; '.join(problems)}."
        )
    return values


def _fits(value: Any, kind: str) -> bool:
    if kind == "Boolean" or isinstance(value, bool):
        return kind == "Boolean" and isinstance(value, bool)
    return isinstance(value, (int, float) if kind == "Float" else TYPES[kind])
