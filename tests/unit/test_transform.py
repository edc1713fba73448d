"""A transform job: which combinations are refused, which are warned of, and what the request looks like."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import botocore.session
import botocore.validate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_serving.errors import Findings, InvalidConfiguration
from sagemaker_serving.instances import Architecture, TransformInstanceType, known_instance_types
from sagemaker_serving.transform import (
    CSV,
    JSON,
    JSON_LINES,
    BatchStrategy,
    BatchTransform,
    CompressionType,
    JoinSource,
    ModelClient,
    RecordAssembly,
    S3DataType,
    SplitType,
)
from sagemaker_serving.transform_filters import check_filter

KEY = "arn:aws:kms:ap-northeast-2:111122223333:key/1"


def job(**arguments: Any) -> BatchTransform:
    return BatchTransform(**{"instance_type": "ml.m5.xlarge", **arguments})


def rendered(transform: BatchTransform) -> dict[str, Any]:
    return transform.render(
        job_name="job-1",
        model_name="model",
        input_uri="s3://bucket/in/",
        output_uri="s3://bucket/out/",
        key_arn=KEY,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"data_type": "AugmentedManifestFile"},
            "data_type = 'AugmentedManifestFile': must be one of",
        ),
        ({"data_type": "Converse"}, "must be one of S3Prefix, ManifestFile"),
        ({"compression": "Zip"}, "compression = 'Zip': must be one of None, Gzip"),
        ({"split": "Lines"}, "split = 'Lines': must be one of None, Line, RecordIO, TFRecord"),
        ({"assembly": "RecordIO"}, "assembly = 'RecordIO': must be one of None, Line"),
        ({"strategy": "Multi"}, "strategy = 'Multi': must be one of MultiRecord, SingleRecord"),
        (
            {"split": SplitType.NONE, "assembly": RecordAssembly.NONE},
            "strategy = 'MultiRecord': says how many records go into a request, and without a split",
        ),
        ({"content_type": "x" * 257, "join": JoinSource.NONE}, "content_type = 'xxx"),
        ({"accept": "x" * 257, "join": JoinSource.NONE}, "has at most 256 characters"),
        ({"max_payload_mb": 101}, "max_payload_mb = 101: must be a whole number from 0 to 100"),
        ({"max_payload_mb": -1}, "max_payload_mb = -1"),
        ({"max_concurrent": -1}, "max_concurrent = -1: must be a whole number of at least 0"),
        (
            {"max_concurrent": 20, "max_payload_mb": 6},
            "20 x 6 MB = 120 MB': may be at most 100 MB",
        ),
        ({"instance_count": 0}, "instance_count = 0: must be a whole number from 1 to 100"),
        ({"instance_count": 101}, "instance_count = 101"),
        ({"instance_type": "ml.c7g.large"}, "not an instance type that SageMaker offers for transform jobs"),
        ({"instance_type": "ml.t2.medium"}, "(API enumeration TransformInstanceType)"),
        (
            {"instance_type": "ml.g5.xlarge", "encrypt_volume": True},
            "encrypt_volume = True: ml.g5.xlarge has a disk of its own",
        ),
        (
            {"instance_type": "ml.g4dn.xlarge", "encrypt_volume": True},
            "TransformResources.VolumeKmsKeyId",
        ),
        ({"accept": JSON}, "accept = 'application/json': an answer joins its input only in the same form"),
        (
            {"split": SplitType.NONE, "strategy": None},
            "assembly = 'Line': answers join their inputs only when both are cut alike",
        ),
        (
            {"content_type": "application/x-recordio-protobuf"},
            "content_type = 'application/x-recordio-protobuf': only text/csv, application/json",
        ),
        (
            {"accept": "text/plain", "join": JoinSource.NONE, "output_filter": "$[0]"},
            "accept = 'text/plain': only text/csv",
        ),
        (
            {
                "content_type": CSV,
                "accept": CSV,
                "join": JoinSource.NONE,
                "input_filter": "$[1:]",
                "assembly": RecordAssembly.NONE,
            },
            "split, assembly = 'Line, None': for CSV in and out, both are Line",
        ),
        ({"input_filter": "text"}, "input_filter = 'text': starts with $, the whole record"),
        ({"output_filter": "$" + ".a" * 32}, "has at most 63 characters"),
        ({"content_type": CSV, "accept": CSV, "input_filter": "$.text"}, "by their positions only"),
        ({"input_filter": "$..text"}, "and no other operator"),
        ({"input_filter": "$[?(@.a)]"}, "and no other operator"),
        (
            {"environment": {f"A{n}": "" for n in range(17)}},
            "environment = '17 entries': a transform job",
        ),
        ({"environment": {"1A": ""}}, "does not start with a digit"),
        ({"environment": {"A": "x" * 10_241}}, "a value has at most 10240 characters"),
        ({"environment": {"SAGEMAKER_BATCH": "true"}}, "SageMaker sets this variable itself"),
        ({"environment": {"SAGEMAKER_BATCH_STRATEGY": "X"}}, "SageMaker sets this variable itself"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused(arguments: dict[str, Any], message: str) -> None:
    # GIVEN a combination that the service has a rule against WHEN the value is made THEN the rule is told
    with pytest.raises(InvalidConfiguration, match="BatchTransform") as refused:
        job(**arguments)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"timeout": cdk.Duration.seconds(0)},
            "timeout = '0 s': must be a whole number of seconds",
        ),
        ({"timeout": cdk.Duration.seconds(3601)}, "1 to 3600 s"),
        ({"max_retries": 4}, "max_retries = 4: must be a whole number from 0 to 3"),
        ({"max_retries": -1}, "max_retries = -1"),
    ],
)
def test_the_client_of_the_model_has_limits(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        ModelClient(**arguments)
    assert message in str(refused.value)


def test_all_findings_come_at_once() -> None:
    # GIVEN four mistakes WHEN the job is made THEN one message has them
    with pytest.raises(InvalidConfiguration, match="4 problems"):
        job(instance_type="ml.m5.huge", instance_count=0, max_payload_mb=101, input_filter="text")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"split": SplitType.NONE, "strategy": None, "join": JoinSource.NONE},
            "Answers are put together line by line, but objects are not cut",
        ),
        ({"max_payload_mb": 0}, "streams whole objects in chunks"),
        ({"instance_type": "ml.g6.xlarge", "encrypt_volume": True}, "may have a disk of its own"),
        ({"instance_type": "ml.m4.xlarge"}, "previous generation"),
    ],
)
def test_what_is_allowed_but_should_be_known_is_a_warning(arguments: dict[str, Any], words: str) -> None:
    assert words in " ".join(job(**arguments).warnings)


def test_the_defaults_warn_of_nothing() -> None:
    assert job().warnings == ()


@pytest.mark.parametrize(
    ("instance_type", "encrypted"),
    [("ml.m5.xlarge", True), ("ml.g4dn.xlarge", False), ("ml.g5.xlarge", False), ("ml.inf2.xlarge", False)],
)
def test_a_volume_is_encrypted_where_that_is_possible(instance_type: str, encrypted: bool) -> None:
    # GIVEN no word about the volume
    resources = rendered(job(instance_type=instance_type))["TransformResources"]
    # THEN the key is there for every instance whose volume SageMaker attaches, and for no other
    assert ("VolumeKmsKeyId" in resources) is encrypted


def test_the_request_says_what_the_value_says() -> None:
    made = job(
        instance_count=3,
        max_concurrent=4,
        input_filter="$['text']",
        output_filter="$['id','SageMakerOutput']",
        environment={"OMP_NUM_THREADS": "1"},
        client=ModelClient(timeout=cdk.Duration.minutes(2), max_retries=1),
    )
    assert rendered(made) == {
        "TransformJobName": "job-1",
        "ModelName": "model",
        "MaxPayloadInMB": 6,
        "MaxConcurrentTransforms": 4,
        "BatchStrategy": "MultiRecord",
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": 120, "InvocationsMaxRetries": 1},
        "Environment": {"OMP_NUM_THREADS": "1"},
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}},
            "ContentType": JSON_LINES,
            "CompressionType": "None",
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": "s3://bucket/out/",
            "Accept": JSON_LINES,
            "AssembleWith": "Line",
            "KmsKeyId": KEY,
        },
        "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 3, "VolumeKmsKeyId": KEY},
        "DataProcessing": {
            "JoinSource": "Input",
            "InputFilter": "$['text']",
            "OutputFilter": "$['id','SageMakerOutput']",
        },
    }


transforms = st.builds(
    dict,
    instance_type=st.sampled_from(["ml.m5.large", "ml.g5.xlarge", "ml.g6.xlarge", "ml.m5.huge"]),
    instance_count=st.integers(0, 101),
    content_type=st.sampled_from([CSV, JSON, JSON_LINES, "application/x-npy"]),
    accept=st.sampled_from([CSV, JSON, JSON_LINES]),
    data_type=st.sampled_from(S3DataType),
    compression=st.sampled_from(CompressionType),
    split=st.sampled_from(SplitType),
    assembly=st.sampled_from(RecordAssembly),
    strategy=st.none() | st.sampled_from(BatchStrategy),
    max_payload_mb=st.integers(-1, 101),
    max_concurrent=st.none() | st.integers(-1, 30),
    input_filter=st.none() | st.sampled_from(["$", "$[0]", "$.text", "text"]),
    join=st.sampled_from(JoinSource),
    encrypt_volume=st.none() | st.booleans(),
)


@given(transforms)
def test_what_passes_is_legal_for_the_api_and_keeps_every_rule(arguments: dict[str, Any]) -> None:
    # GIVEN any combination WHEN it is refused THEN with findings, never with a traceback of another kind
    try:
        made = job(**arguments)
    except InvalidConfiguration:
        return
    # ELSE botocore's model of the API accepts the request
    request = rendered(made)
    shape = botocore.session.Session().get_service_model("sagemaker").operation_model("CreateTransformJob")
    assert not botocore.validate.ParamValidator().validate(request, shape.input_shape).has_errors()
    # AND the rules that the model does not know hold
    if made.max_concurrent is not None:
        assert made.max_concurrent * made.max_payload_mb <= 100
    if made.strategy is not None:
        assert made.split != SplitType.NONE
    if made.join == JoinSource.INPUT:
        assert made.content_type == made.accept
        assert str(made.split) == str(made.assembly)


@pytest.mark.parametrize(
    "path",
    [
        "$",
        "$.text",
        "$.a.b",
        "$.*",
        "$[*]",
        "$['a','b']",
        '$["a"]',
        "$[0]",
        "$[0,-1]",
        "$[1:]",
        "$[:2]",
        "$[1:3].a",
    ],
)
def test_paths_with_supported_operators_pass(path: str) -> None:
    findings = Findings("test")
    check_filter(findings, "input_filter", path, csv=False)
    assert findings.found == []


@pytest.mark.parametrize(
    "path", ["$..a", "$[?(@.x)]", "$[(@.length-1)]", "$.a[", "$a", "$.", "$['a]", "$[1;2]"]
)
def test_paths_with_other_operators_are_refused(path: str) -> None:
    findings = Findings("test")
    check_filter(findings, "input_filter", path, csv=False)
    assert len(findings.found) == 1


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("$", True),
        ("$[0]", True),
        ("$[1:]", True),
        ("$[0,-1]", True),
        ("$.a", False),
        ("$[*]", False),
        ("$['a']", False),
    ],
)
def test_columns_go_by_position(path: str, allowed: bool) -> None:
    findings = Findings("test")
    check_filter(findings, "input_filter", path, csv=True)
    assert (findings.found == []) is allowed


def test_every_transform_instance_type_is_known_and_none_is_graviton() -> None:
    names = known_instance_types("TransformInstanceType")
    assert len(names) > 80
    assert {TransformInstanceType(name).architecture for name in names} == {Architecture.X86_64}
