"""The APIs with jobs and pipelines that really run: processes are real, S3 and Lambda are in memory."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sandbox.clock import Clock
from sandbox.control_plane.jobs import ProcessingJobApi, TrainingJobApi
from sandbox.control_plane.model_packages import ModelPackages
from sandbox.control_plane.pipeline_executions import PipelineExecutionApi
from sandbox.events import EventPublisher
from sandbox.jobs import Jobs
from sandbox.pipelines import PipelineExecutions
from sandbox.store import Params, Scope
from tests.sandbox_api.world import IMAGE, ROLE, SCOPE, World
from tests.sandbox_runtime.fake_aws import FakeBus, FakeLogs, FakeMetrics

PATIENCE = 60.0


class Bucket:
    """One S3 for all scopes; `refuses` names keys that it does not take."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.refuses: set[str] = set()
        self._lock = threading.Lock()

    def put(self, uri: str, content: str | bytes) -> str:
        """Have an object; its URI."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.objects[bucket, key] = content if isinstance(content, bytes) else content.encode()
        return uri

    def read(self, uri: str) -> bytes:
        """An object by its URI."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.objects[bucket, key]

    def keys(self, prefix: str = "") -> list[str]:
        """Keys below a prefix."""
        return sorted(key for _, key in self.objects if key.startswith(prefix))

    # in boto3's names

    def get_paginator(self, operation: str) -> Bucket:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> list[Params]:  # noqa: N803
        if not any(bucket == Bucket for bucket, _ in self.objects):
            raise _refusal("NoSuchBucket", "The specified bucket does not exist")
        found = sorted(key for bucket, key in self.objects if bucket == Bucket and key.startswith(Prefix))
        return [{"Contents": [{"Key": key}]} for key in found] or [{}]

    def get_object(self, *, Bucket: str, Key: str) -> Params:  # noqa: N803
        if (Bucket, Key) not in self.objects:
            raise _refusal("NoSuchKey", "The specified key does not exist.")
        return {"Body": io.BytesIO(self.objects[Bucket, Key])}

    def download_file(self, bucket: str, key: str, file: str) -> None:
        Path(file).write_bytes(self.objects[bucket, key])

    def upload_file(self, file: str, bucket: str, key: str, ExtraArgs: Params) -> None:  # noqa: N803
        if key in self.refuses:
            raise _refusal("AccessDenied", "Access Denied")
        with self._lock:
            self.objects[bucket, key] = Path(file).read_bytes()


class Functions:
    """Lambda: functions of this process, by name."""

    def __init__(self) -> None:
        self.functions: dict[str, Callable[[Any], Any]] = {}
        self.calls: list[tuple[str, Any]] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Params:  # noqa: N803
        name, event = FunctionName.rpartition(":")[2], json.loads(Payload)
        self.calls.append((name, event))
        if name not in self.functions:
            raise _refusal("ResourceNotFoundException", f"Function not found: {FunctionName}")
        try:
            return {"Payload": io.BytesIO(json.dumps(self.functions[name](event)).encode())}
        except Exception as error:  # whatever a function raises, Lambda answers so
            content = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(content).encode())}


def _refusal(code: str, text: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text}}, "Operation")


def archive(files: dict[str, str]) -> bytes:
    """A tar.gz of text files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def unpacked(data: bytes) -> dict[str, bytes]:
    """Files of a tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = [member for member in tar.getmembers() if member.isfile()]
        return {member.name: tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]


class Workshop(World):
    """The APIs, with jobs and pipelines."""

    gateway_url = "http://127.0.0.1:9"

    def __init__(self, tmp: Path, scale: float = 60.0) -> None:
        super().__init__(scale)
        self.s3, self.functions, self.bus, self.logs = Bucket(), Functions(), FakeBus(), FakeLogs()
        self.work = tmp / "jobs"
        self.events = EventPublisher(self.stores)
        self.events.connect(self.bus.put)
        aws: Any = self
        self.jobs = Jobs(aws, self.logs, self.events, Clock(scale), self.work)
        self.metrics = FakeMetrics()
        metrics: Any = self.metrics
        self.pipelines = PipelineExecutions(
            self.stores, self.control_plane.call, aws, self.events, metrics, Clock(scale)
        )
        for api in (
            ProcessingJobApi(self.stores, self.jobs),
            TrainingJobApi(self.stores, self.jobs),
            ModelPackages(self.stores, self.events),
            PipelineExecutionApi(self.stores, self.pipelines),
        ):
            self.control_plane.add_operations(api.operations)

    def client(self, service: str, scope: Scope, patience: float | None = None) -> Any:
        """What `LocalAws` gives."""
        assert scope == SCOPE
        return self.functions if service == "lambda" else self.s3

    def close(self) -> None:
        self.run(self.pipelines.close())
        self.run(self.jobs.close())
        self.run(self.events.stop())
        super().close()

    def wait(self, what: str, probe: Callable[[], Any]) -> Any:
        """Wait until a probe gives something."""
        deadline = time.monotonic() + PATIENCE
        while not (seen := probe()):
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
            time.sleep(0.02)
        return seen

    def details(self, detail_type: str) -> list[Params]:
        """Details of the events of a kind, in order."""
        return [json.loads(event.detail) for event in self.bus.events if event.detail_type == detail_type]

    def ended(self, sagemaker: Any, kind: str, name: str) -> Params:
        """A job when it has ended."""
        describe = getattr(sagemaker, f"describe_{kind}_job")
        member = f"{kind.capitalize()}Job"

        def probe() -> Params | None:
            found: Params = describe(**{f"{member}Name": name})
            return None if found[f"{member}Status"] in ("InProgress", "Stopping") else found

        found: Params = self.wait(f"end of {name}", probe)
        return found


def processing(name: str, code: str = "", **changed: Any) -> Params:
    """A request of CreateProcessingJob that runs a Python text."""
    request: Params = {
        "ProcessingJobName": name,
        "RoleArn": ROLE,
        "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": ["python3", "-c", f"exec({code!r})"]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
        },
    }
    return request | changed


def reads(name: str, uri: str) -> Params:
    """A ProcessingInput at ``/opt/ml/processing/<name>``."""
    place = {"LocalPath": f"/opt/ml/processing/{name}", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": {"S3Uri": uri, **place}}


def writes(name: str, uri: str) -> Params:
    """A ProcessingOutput at ``/opt/ml/processing/<name>``."""
    place = {"LocalPath": f"/opt/ml/processing/{name}", "S3UploadMode": "EndOfJob"}
    return {"OutputName": name, "S3Output": {"S3Uri": uri, **place}}


def training(name: str, code: str, **changed: Any) -> Params:
    """A request of CreateTrainingJob in script mode; `code` is the URI of an archive with train.py."""
    request: Params = {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://out/models"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "HyperParameters": {"sagemaker_program": "train.py", "sagemaker_submit_directory": json.dumps(code)},
    }
    return request | changed
