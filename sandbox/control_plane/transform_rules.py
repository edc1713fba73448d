"""Rules of CreateTransformJob beyond the shapes (sagemaker-rules 2.2 and 2.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sandbox.control_plane.model_rules import named_containers
from sandbox.store import Params
from sandbox.transform_jobs.paths import Path, PathError
from sandbox.transform_jobs.processing import CSV, SUPPORTED
from sandbox.validation import raise_findings

_MOST_MB = 100  # CreateTransformJob: MaxPayloadInMB, and its product with MaxConcurrentTransforms
_DEFAULT_MB = 6
_MOST_INSTANCES = 100
# their storage is encrypted by hardware, so that no key can be asked for (API_TransformResources)
_LOCAL_STORAGE = re.compile(r"ml\.(g4dn|g5|g6e?|trn1)\.")


def check_transform_job(job: Params, model: Params) -> None:
    """Check a request of CreateTransformJob.

    Args:
        job: The request.
        model: The request that made the model which it names.

    Raises:
        ServiceError: ValidationException with every finding.
    """
    raise_findings(
        [
            *_input(job),
            *_sizes(job),
            *_resources(job["TransformResources"]),
            *_processing(job),
            *_model(model),
        ]
    )


def _input(job: Params) -> Iterator[str]:
    given = job["TransformInput"]
    source = given["DataSource"].get("S3DataSource", {})
    if source.get("S3DataType") not in ("S3Prefix", "ManifestFile"):
        yield (
            f"S3DataType {source.get('S3DataType')} is not supported for transform jobs; use S3Prefix or "
            "ManifestFile"
        )
    for where, uri in (
        ("transformInput.dataSource.s3DataSource.s3Uri", source.get("S3Uri", "")),
        ("transformOutput.s3OutputPath", job["TransformOutput"]["S3OutputPath"]),
    ):
        if not re.match(r"s3://[^/]+", uri):
            yield f"{where} must be s3://bucket/prefix, not {uri!r}"
    split = given.get("SplitType", "None")
    if split in ("RecordIO", "TFRecord"):
        yield f"the sandbox does not split {split}, AWS does; use SplitType Line or None here"
    if "BatchStrategy" in job and split == "None":
        yield "BatchStrategy needs SplitType Line, RecordIO or TFRecord, which tells what a record is"
    if "DataCaptureConfig" in job:
        yield "the sandbox does not capture the data of transform jobs, AWS does; leave DataCaptureConfig out"


def _sizes(job: Params) -> Iterator[str]:
    payload = job.get("MaxPayloadInMB", _DEFAULT_MB)
    if payload > _MOST_MB:
        yield f"MaxPayloadInMB must be at most {_MOST_MB}, not {payload}"
    requests = job.get("MaxConcurrentTransforms", 0)
    if requests * payload > _MOST_MB:
        yield (
            f"MaxConcurrentTransforms * MaxPayloadInMB must be at most {_MOST_MB} MB, not "
            f"{requests} * {payload} = {requests * payload}"
        )


def _resources(resources: Params) -> Iterator[str]:
    count, instance_type = resources["InstanceCount"], resources["InstanceType"]
    if count > _MOST_INSTANCES:
        yield f"InstanceCount must be at most {_MOST_INSTANCES}, not {count}"
    if "VolumeKmsKeyId" in resources and _LOCAL_STORAGE.match(instance_type):
        yield (
            f"VolumeKmsKeyId can't be requested for {instance_type}, whose local storage is encrypted by its "
            "hardware"
        )


def _processing(job: Params) -> Iterator[str]:
    given = job.get("DataProcessing", {})
    before, after = given.get("InputFilter") or "$", given.get("OutputFilter") or "$"
    join = given.get("JoinSource", "None") == "Input"
    if (before, after, join) == ("$", "$", False):
        return
    source, target = job["TransformInput"], job["TransformOutput"]
    content_type, accept = source.get("ContentType"), target.get("Accept")
    split, assemble = source.get("SplitType", "None"), target.get("AssembleWith", "None")
    for member, value in (("ContentType", content_type), ("Accept", accept)):
        if value not in SUPPORTED:
            yield f"DataProcessing needs {member} {', '.join(SUPPORTED)}, not {value}"
    if join and content_type != accept:
        yield f"JoinSource Input needs ContentType and Accept to be the same, not {content_type} and {accept}"
    if join and split != assemble:
        yield f"JoinSource Input needs SplitType and AssembleWith to be the same, not {split} and {assemble}"
    if content_type == accept == CSV and (split, assemble) != ("Line", "Line"):
        yield f"DataProcessing of {CSV} needs SplitType and AssembleWith Line, not {split} and {assemble}"
    yield from _filter("InputFilter", before, content_type == CSV)
    yield from _filter("OutputFilter", after, accept == CSV)


def _filter(member: str, text: str, csv: bool) -> Iterator[str]:
    try:
        path = Path.parse(text)
    except PathError as error:
        yield f"DataProcessing.{member}: {error}"
        return
    if csv and not path.fits_csv:
        yield (
            f"DataProcessing.{member}: columns of {CSV} are picked by position, for example $[0], $[1:] or "
            f"$[0,-1], not {text!r}"
        )


def _model(model: Params) -> Iterator[str]:
    name = model["ModelName"]
    for where, container in named_containers(model):
        if "ModelDataSource" in container:
            yield f"the model {name!r} uses ModelDataSource ({where}), which transform jobs don't support"
        if container.get("Mode") == "MultiModel":
            yield f"the model {name!r} has a container in MultiModel mode ({where}), which takes no batches"
    if (model.get("InferenceExecutionConfig") or {}).get("Mode") == "Direct":
        yield f"the model {name!r} has containers in Direct mode, of which a transform job names none"
