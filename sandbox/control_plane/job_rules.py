"""Rules of CreateProcessingJob and CreateTrainingJob beyond the shapes, and what the sandbox does not run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sandbox.store import Params
from sandbox.validation import raise_findings

_BASE = "/opt/ml/"


def check_processing_job(job: Params) -> None:
    """Check a request of CreateProcessingJob.

    Raises:
        ServiceError: ValidationException with every finding.
    """
    raise_findings([*_application(job), *_inputs(job), *_outputs(job)])


def check_training_job(job: Params) -> None:
    """Check a request of CreateTrainingJob.

    Raises:
        ServiceError: ValidationException with every finding.
    """
    raise_findings([*_algorithm(job), *_resources(job), *_channels(job)])


def _application(job: Params) -> Iterator[str]:
    if not job["AppSpecification"].get("ContainerEntrypoint"):
        yield (
            "the sandbox needs appSpecification.containerEntrypoint: it runs programs on this Python and has "
            "no image to take one from"
        )
    yield from _one_instance(job["ProcessingResources"]["ClusterConfig"].get("InstanceCount", 1))


def _inputs(job: Params) -> Iterator[str]:
    inputs = job.get("ProcessingInputs", [])
    yield from _repeated("InputName", [given["InputName"] for given in inputs])
    for number, given in enumerate(inputs, 1):
        where = f"processingInputs.{number}.member"
        if "S3Input" not in given:
            yield f"{where}: the sandbox reads S3Input only, AWS also DatasetDefinition"
            continue
        source = given["S3Input"]
        yield from _s3(f"{where}.s3Input.s3Uri", source["S3Uri"])
        yield from _local(f"{where}.s3Input.localPath", source.get("LocalPath"))
        if source.get("S3InputMode", "File") != "File":
            yield f"{where}: the sandbox reads S3InputMode File only, not {source['S3InputMode']}"


def _outputs(job: Params) -> Iterator[str]:
    outputs = job.get("ProcessingOutputConfig", {}).get("Outputs", [])
    yield from _repeated("OutputName", [output["OutputName"] for output in outputs])
    for number, output in enumerate(outputs, 1):
        where = f"processingOutputConfig.outputs.{number}.member"
        if "S3Output" not in output:
            yield f"{where}: the sandbox writes S3Output only, AWS also FeatureStoreOutput"
            continue
        target = output["S3Output"]
        yield from _s3(f"{where}.s3Output.s3Uri", target["S3Uri"])
        if "LocalPath" not in target:
            yield f"{where}: S3Output needs LocalPath"
        yield from _local(f"{where}.s3Output.localPath", target.get("LocalPath"))


def _algorithm(job: Params) -> Iterator[str]:
    algorithm = job.get("AlgorithmSpecification")
    if algorithm is None:
        yield "the sandbox needs algorithmSpecification"
        return
    if "TrainingImage" not in algorithm:
        yield "the sandbox needs algorithmSpecification.trainingImage; it has no algorithms by name"
    if algorithm["TrainingInputMode"] == "Pipe":
        yield "the sandbox has no TrainingInputMode Pipe, AWS does; use File or FastFile"
    definitions = algorithm.get("MetricDefinitions", [])
    yield from _repeated("MetricDefinitions.Name", [each["Name"] for each in definitions])
    for each in definitions:
        try:
            groups = re.compile(each["Regex"]).groups
        except re.error as error:
            yield f"the Regex of metric {each['Name']!r} is no regular expression: {error}"
            continue
        if groups == 0:
            yield f"the Regex of metric {each['Name']!r} has no group that captures the value"


def _resources(job: Params) -> Iterator[str]:
    resources = job.get("ResourceConfig", {})
    if not resources.get("InstanceType"):
        yield "resourceConfig needs InstanceType; the sandbox has no instance groups"
    yield from _one_instance(resources.get("InstanceCount", 1))
    yield from _s3("outputDataConfig.s3OutputPath", job["OutputDataConfig"]["S3OutputPath"])
    checkpoints = job.get("CheckpointConfig", {})
    yield from _local("checkpointConfig.localPath", checkpoints.get("LocalPath"))
    if job.get("EnableManagedSpotTraining") and "MaxWaitTimeInSeconds" not in job["StoppingCondition"]:
        yield "EnableManagedSpotTraining needs StoppingCondition.MaxWaitTimeInSeconds"


def _channels(job: Params) -> Iterator[str]:
    channels = job.get("InputDataConfig", [])
    yield from _repeated("ChannelName", [channel["ChannelName"] for channel in channels])
    for number, channel in enumerate(channels, 1):
        where = f"inputDataConfig.{number}.member"
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            yield f"{where}: the sandbox reads S3DataSource only, AWS also file systems"
            continue
        yield from _s3(f"{where}.dataSource.s3DataSource.s3Uri", source["S3Uri"])
        if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
            yield f"{where}: the sandbox has S3DataType S3Prefix and ManifestFile, not {source['S3DataType']}"
        if channel.get("InputMode") == "Pipe":
            yield f"{where}: the sandbox has no InputMode Pipe, AWS does; use File or FastFile"
        if channel.get("RecordWrapperType", "None") != "None":
            yield f"{where}: the sandbox writes no RecordIO, AWS does; leave RecordWrapperType out"


def _one_instance(count: int) -> Iterator[str]:
    if count != 1:
        yield f"the sandbox runs jobs on one instance, not on {count}; AWS runs more"


def _repeated(member: str, names: list[str]) -> Iterator[str]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        yield f"{member} must be unique; repeated: {', '.join(repeated)}"


def _s3(where: str, uri: str) -> Iterator[str]:
    if not re.match(r"s3://[^/]+", uri):
        yield f"{where} must be s3://bucket/prefix, not {uri!r}"


def _local(where: str, path: str | None) -> Iterator[str]:
    if path is not None and (not f"{path}/".startswith(_BASE) or ".." in path.split("/")):
        yield f"{where} must be below {_BASE}, not {path!r}"
