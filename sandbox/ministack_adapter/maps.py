"""ministack's distributed maps: their results in S3, and what they would silently leave out."""

from __future__ import annotations

import functools
import json
from typing import Any
from urllib.parse import quote

from sandbox.ministack_adapter.hooks import module
from sandbox.store import Params

_SHAPING = ("ResultSelector", "ResultPath", "OutputPath")
_ENDINGS = {"SUCCEEDED": "SUCCEEDED", "FAILED": "FAILED", "TIMED_OUT": "FAILED", "ABORTED": "FAILED"}


def repair_maps(stepfunctions: Any) -> None:
    """Write the results of distributed maps where ResultWriter says, and refuse ItemBatcher.

    Files and their forms: Step Functions guide, "ResultWriter (Map)".
    """
    run = stepfunctions._run_distributed_map

    @functools.wraps(run)
    def run_distributed_map(
        state: Params, raw: Any, effective: Any, iterator: Params, execution: Params, context: Params
    ) -> Any:
        if "ItemBatcher" in state:
            raise stepfunctions._ExecutionError(
                "States.Runtime",
                "The sandbox has no ItemBatcher in distributed maps; AWS has. Leave it out here.",
            )
        writer = state.get("ResultWriter")
        if not writer:
            return run(state, raw, effective, iterator, execution, context)
        target = stepfunctions._resolve_params_obj(writer.get("Parameters", {}), effective, context)
        known = set(stepfunctions._map_runs.keys())
        bare = {name: value for name, value in state.items() if name not in _SHAPING}
        try:
            _, following = run(bare, raw, effective, iterator, execution, context)
        finally:
            result = _export(stepfunctions, _made(stepfunctions, known, execution), target, writer)
        result = stepfunctions._apply_result_selector(state, result)
        output = stepfunctions._apply_result_path(state, raw, result)
        return stepfunctions._apply_output_path(state, output, context), following

    stepfunctions._run_distributed_map = run_distributed_map


def _made(stepfunctions: Any, known: set[str], execution: Params) -> str | None:
    """The map run that was made since; None if its items could not be read."""
    runs = {arn: run for arn, run in stepfunctions._map_runs.items() if arn not in known}
    mine = (arn for arn, run in runs.items() if run["executionArn"] == execution["executionArn"])
    return next(mine, None)


def _export(stepfunctions: Any, run_arn: str | None, target: Params, writer: Params) -> Params:
    """Write the results of a map run; what the state gives instead of them."""
    if run_arn is None:
        return {}
    config = writer.get("WriterConfig", {})
    lines = config.get("OutputType", "JSON") == "JSONL"
    folder = "/".join(
        part for part in (target.get("Prefix", "").strip("/"), run_arn.rpartition(":")[2]) if part
    )
    results: dict[str, list[Any]] = {"SUCCEEDED": [], "FAILED": [], "PENDING": []}
    for child in stepfunctions._executions.values():
        if child.get("mapRunArn") == run_arn:
            ending = _ENDINGS.get(child["status"], "PENDING")
            results[ending] += _shown(child, config.get("Transformation", "NONE"))
    files: dict[str, list[Params]] = {}
    for ending, found in results.items():
        files[ending] = []
        if found:
            key = f"{folder}/{ending}_0.{'jsonl' if lines else 'json'}"
            text = "".join(f"{json.dumps(each)}\n" for each in found) if lines else json.dumps(found)
            _put(stepfunctions, target, key, text)
            files[ending].append({"Key": key, "Size": len(text.encode())})
    manifest = {"DestinationBucket": target.get("Bucket"), "MapRunArn": run_arn, "ResultFiles": files}
    _put(stepfunctions, target, f"{folder}/manifest.json", json.dumps(manifest))
    details = {"Bucket": target.get("Bucket"), "Key": f"{folder}/manifest.json"}
    return {"MapRunArn": run_arn, "ResultWriterDetails": details}


def _shown(child: Params, transformation: str) -> list[Any]:
    """A child's result: with all that is known of it, or its output alone, a list in its parts."""
    if transformation == "NONE" or child["status"] != "SUCCEEDED":
        members = (
            "executionArn",
            "name",
            "status",
            "input",
            "output",
            "error",
            "cause",
            "startDate",
            "stopDate",
        )
        return [{name[0].upper() + name[1:]: child[name] for name in members if child.get(name) is not None}]
    output = json.loads(child["output"])
    return output if transformation == "FLATTEN" and isinstance(output, list) else [output]


def _put(stepfunctions: Any, target: Params, key: str, text: str) -> None:
    app = module("app")
    path = f"/{target.get('Bucket')}/{quote(key)}"
    # on a thread of the execution, as ministack's own tasks call other services
    status, _, body = app.call_service_handler_sync(
        app.SERVICE_HANDLERS["s3"], "PUT", path, {"host": "s3"}, text.encode(), {}
    )
    if status >= 300:
        raise stepfunctions._ExecutionError("States.ResultWriterFailed", str(body))
