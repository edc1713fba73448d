"""The ML pipeline on all of NSMC: raw reviews to an endpoint that serves; again; and asked for too much."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3

from benchmarks.processes import ROOT, BenchmarkFailed, free_port, own_sandbox, sandbox_status, seconds
from benchmarks.report import Figure, paired
from client.ab.labelled import default_file
from sandbox.home import ACCOUNT, REGION, SECRET

_SANDBOX = [sys.executable, "-m", "sandbox"]
_FILES = ("ratings_train.txt", "ratings_test.txt")
_SCRIPTS = ("ml_pipeline", "sentiment", "shared")
_LONGEST = 600.0
_TOO_MUCH = "0.99"


def measure(runs: int) -> list[Figure]:
    """Executions in the sandbox, and the same scripts by themselves, in turn; then from the cache."""
    data = default_file().parent
    if missing := [name for name in _FILES if not (data / name).is_file()]:
        raise BenchmarkFailed(f"{' and '.join(missing)} of NSMC are not in {data}: set NSMC_DIR")
    with own_sandbox() as environment:
        home = Path(environment["SANDBOX_HOME"])
        seconds([*_SANDBOX, "up", "--port", str(free_port()), "--time-scale", "60"], environment=environment)
        seconds([*_SANDBOX, "deploy", "ml-pipeline"], environment=environment)
        pipeline = _Pipeline(environment)
        through, alone, again = [], [], []
        for number in range(runs):
            folder = f"nsmc-{number}"
            pipeline.send(data, folder)
            through.append(pipeline.until_serving(InputData=folder, ModelApprovalStatus="Approved"))
            alone.append(_scripts(home / folder, data))
            again.append(pipeline.execution(InputData=folder)[0])
        accuracy = pipeline.accuracy()
        known = pipeline.versions()
        _, status = pipeline.execution(InputData="nsmc-0", AccuracyThreshold=_TOO_MUCH)
        if status != "Failed":
            raise BenchmarkFailed(f"an execution with the threshold {_TOO_MUCH} ended as {status}")
        registered = len(pipeline.versions()) - len(known)
    return [
        paired(
            "ml-pipeline, NSMC from raw files to an endpoint that serves",
            through,
            alone,
            unit="s",
            baseline_name="(its scripts by themselves)",
            target=240,
        ),
        Figure("ml-pipeline, accuracy on the test split", 100 * accuracy, "%", target=86.5, at_most=False),
        paired(
            "ml-pipeline, the same again, from the cache",
            again,
            through,
            unit="s",
            baseline_name="(the first time)",
            target=10,
        ),
        Figure(f"ml-pipeline, registered at a threshold of {_TOO_MUCH}", registered, "versions", target=0),
    ]


class _Pipeline:
    """The deployed pattern."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._endpoint_url = sandbox_status(environment)["gateway"]
        self._sagemaker, self._s3 = self._client("sagemaker"), self._client("s3")
        (stack,) = self._client("cloudformation").describe_stacks(StackName="MlPipeline")["Stacks"]
        self._outputs = {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}

    def send(self, data: Path, folder: str) -> None:
        """Raw files, without a marker."""
        bucket, _, prefix = self._outputs["RawDataUri"].removeprefix("s3://").partition("/")
        for name in _FILES:
            self._s3.upload_file(str(data / name), bucket, f"{prefix}{folder}/{name}")

    def execution(self, **parameters: str) -> tuple[float, str]:
        """Seconds from start to end, and the status that it ended with."""
        started = time.perf_counter()
        arn = self._start(parameters)
        status = _wait("the end of an execution", lambda: self._ended(arn))
        return time.perf_counter() - started, status

    def until_serving(self, **parameters: str) -> float:
        """Seconds until the version that an execution registers serves."""
        before = self._serving()
        started = time.perf_counter()
        arn = self._start(parameters)
        status = _wait("the end of an execution", lambda: self._ended(arn))
        if status != "Succeeded":
            raise BenchmarkFailed(f"execution {arn} ended as {status}")
        _wait("a new version that serves", lambda: self._serving() not in ("", before))
        return time.perf_counter() - started

    def accuracy(self) -> float:
        """Of the newest version, by the evaluation that it was registered with."""
        newest = self.versions()[0]["ModelPackageArn"]
        described = self._sagemaker.describe_model_package(ModelPackageName=newest)
        place = described["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
        bucket, _, key = place.removeprefix("s3://").partition("/")
        report = json.loads(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        return float(report["binary_classification_metrics"]["accuracy"]["value"])

    def versions(self) -> list[dict[str, Any]]:
        """Newest first."""
        listed = self._sagemaker.list_model_packages(
            ModelPackageGroupName=self._outputs["ModelPackageGroupName"], MaxResults=100
        )
        return list(listed["ModelPackageSummaryList"])

    def _start(self, parameters: Mapping[str, str]) -> str:
        answer = self._sagemaker.start_pipeline_execution(
            PipelineName=self._outputs["PipelineName"],
            PipelineParameters=[{"Name": name, "Value": value} for name, value in parameters.items()],
        )
        return str(answer["PipelineExecutionArn"])

    def _ended(self, arn: str) -> str:
        seen = self._sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        status = str(seen["PipelineExecutionStatus"])
        return "" if status in ("Executing", "Stopping") else status

    def _serving(self) -> str:
        """Configuration of the endpoint in service; empty while there is none."""
        named = {"NameContains": self._outputs["EndpointName"], "StatusEquals": "InService"}
        for endpoint in self._sagemaker.list_endpoints(**named)["Endpoints"]:
            described = self._sagemaker.describe_endpoint(EndpointName=endpoint["EndpointName"])
            return str(described["EndpointConfigName"])
        return ""

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self._endpoint_url,
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key=SECRET,
        )


def _wait(what: str, look: Callable[[], Any]) -> Any:
    until = time.monotonic() + _LONGEST
    while not (seen := look()):
        if time.monotonic() > until:
            raise BenchmarkFailed(f"{what}: not within {_LONGEST:g} s")
        time.sleep(0.05)
    return seen


def _scripts(folder: Path, data: Path) -> float:
    """Seconds that the job scripts take one after the other, without anything around them."""
    code, raw = folder / "processing" / "input" / "code", folder / "processing" / "raw"
    for path in (code, raw, folder / "processing" / "model"):
        path.mkdir(parents=True)
    for name in _SCRIPTS:
        for file in (ROOT / "model_code" / name).glob("*.py"):
            shutil.copy(file, code)
    for name in _FILES:
        shutil.copy(data / name, raw)
    model, train = folder / "model", folder / "processing" / "train"
    own = {
        "PATH": os.environ["PATH"],
        "SAGEMAKER_BASE_DIR": str(folder),
        "SM_CHANNEL_TRAIN": str(train),
        "SM_MODEL_DIR": str(model),
    }
    started = time.perf_counter()
    for script in ("preprocess.py", "training_job.py", "evaluate.py"):
        done = subprocess.run(
            [sys.executable, str(code / script)], env=own, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchmarkFailed(f"{script} by itself ended with {done.returncode}:\n{done.stderr[-2000:]}")
        if script == "training_job.py":  # as SageMaker packs it
            with tarfile.open(folder / "processing" / "model" / "model.tar.gz", "w:gz") as archive:
                archive.add(model, ".")
    elapsed = time.perf_counter() - started
    shutil.rmtree(folder)
    return elapsed
