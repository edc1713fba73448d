"""A transformer by its name in every pattern that can carry it, exported and deployed by the real CDK CLI."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.laptop import REVIEWS, ROOT, Laptop, wait_for

pytestmark = pytest.mark.sandbox

PYTHON = ROOT / ".cache" / "koelectra" / "bin" / "python"
NAMED = {
    "patterns.realtime.model": "koelectra",
    "patterns.serverless.model": "koelectra",
    "patterns.lambda.model": "koelectra",
    "patterns.batch.model": "koelectra",
    "patterns.ab-test.variants.challenger.model": "koelectra",
    "patterns.blue-green.versions.v4": "koelectra",
    "patterns.blue-green.version": "v4",
}
PATTERNS = ("realtime", "serverless", "lambda", "batch", "ab-test", "blue-green")
CONTEXT = [part for key, value in NAMED.items() for part in ("-c", f"{key}={value}")]


def command(*arguments: object) -> None:
    done = subprocess.run(
        [str(argument) for argument in arguments],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "model_code" / "shared")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def exported(laptop: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the configuration looks for it: a tiny ELECTRA of random weights, exported as the real one is."""
    command(laptop.project / ".venv" / "bin" / "python", ROOT / "tools" / "setup_koelectra.py")
    folder = tmp_path_factory.mktemp("electra")
    words = (ROOT / "model_code" / "koelectra" / "conversion" / "reviews.txt").read_text(encoding="utf-8")
    texts = folder / "texts.txt"
    texts.write_text("\n".join([*words.splitlines(), *REVIEWS]), encoding="utf-8")
    source, model = folder / "source", laptop.project / ".cache" / "koelectra-model"
    model.parent.mkdir(exist_ok=True)
    make, export = ROOT / "tools" / "make_electra.py", ROOT / "model_code" / "koelectra" / "export.py"
    command(PYTHON, make, "--texts", texts, "--output", source, "--shape", "tiny")
    command(PYTHON, export, "--model", source, "--output", model)
    return model


@pytest.fixture(scope="module")
def deployed(laptop: Laptop, exported: Path) -> Iterator[Laptop]:
    laptop.sandbox("deploy", *PATTERNS, *CONTEXT)
    yield laptop
    for pattern in PATTERNS:  # the committed model is somebody else's
        (laptop.project / f"changed-{pattern}").touch()


def invoke(laptop: Laptop, pattern: str, texts: list[str], **target: str) -> list[dict[str, Any]]:
    answer = laptop.boto("sagemaker-runtime").invoke_endpoint(
        EndpointName=laptop.outputs(pattern)["EndpointName"],
        ContentType="application/json",
        Body=json.dumps({"inputs": texts}).encode(),
        **target,
    )
    return list(json.loads(answer["Body"].read()))


def call(laptop: Laptop, texts: list[str]) -> list[dict[str, Any]]:
    answer = laptop.boto("lambda").invoke(
        FunctionName=laptop.outputs("lambda")["FunctionArn"], Payload=json.dumps({"inputs": texts}).encode()
    )
    assert "FunctionError" not in answer, answer["Payload"].read()
    return list(json.loads(answer["Payload"].read()))


def test_every_pattern_gives_the_same_answers(deployed: Laptop, exported: Path) -> None:
    # GIVEN all six patterns with the model that they name
    labels = json.loads((exported / "model.json").read_text(encoding="utf-8"))["labels"]

    # WHEN the same reviews are sent everywhere
    answers = {
        "realtime": invoke(deployed, "realtime", REVIEWS),
        "serverless": invoke(deployed, "serverless", REVIEWS),
        "blue-green": invoke(deployed, "blue-green", REVIEWS),
        "challenger": invoke(deployed, "ab-test", REVIEWS, TargetVariant="challenger"),
        "lambda": call(deployed, REVIEWS),
    }

    # THEN the answers are the same, and of this model
    for where, given in answers.items():
        assert given == answers["realtime"], where
    assert {answer["label"] for answer in answers["realtime"]} <= set(labels)
    assert all(0.5 <= answer["score"] <= 1 for answer in answers["realtime"])

    # AND the champion of the A/B test is another model
    assert invoke(deployed, "ab-test", REVIEWS, TargetVariant="champion") != answers["realtime"]


def test_batch_scores_a_file_with_it(deployed: Laptop) -> None:
    # GIVEN a file of reviews
    outputs = deployed.outputs("batch")
    bucket, _, prefix = outputs["InputUri"].removeprefix("s3://").partition("/")
    rows = [f"{number}\t{REVIEWS[number % 2]}" for number in range(20)]
    body = "\n".join(["id\tdocument", *rows, ""]).encode()
    deployed.boto("s3").put_object(Bucket=bucket, Key=f"{prefix}electra/reviews.tsv", Body=body)

    # WHEN the workflow runs
    states = deployed.boto("stepfunctions")
    arn = states.start_execution(
        stateMachineArn=outputs["StateMachineArn"],
        input=json.dumps({"input": f"{outputs['InputUri']}electra/"}),
    )["executionArn"]

    def ended() -> dict[str, Any] | None:
        seen = dict(states.describe_execution(executionArn=arn))
        return None if seen["status"] == "RUNNING" else seen

    execution = wait_for("the end of the workflow", ended, seconds=120)

    # THEN every row has landed
    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"])["landed"] == 20


def test_time_and_workers_come_from_the_model_s_description(deployed: Laptop) -> None:
    sagemaker = deployed.boto("sagemaker")
    config = sagemaker.describe_endpoint_config(
        EndpointConfigName=deployed.outputs("realtime")["EndpointConfigName"].rpartition("/")[2]
    )
    (variant,) = config["ProductionVariants"]
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 600
    container = sagemaker.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"]
    assert "pytorch-inference" in container["Image"]
    assert container["Environment"]["SAGEMAKER_MODEL_SERVER_WORKERS"] == "1"


def test_a_text_beyond_the_limit_and_a_list_without_texts_are_refused(deployed: Laptop) -> None:
    errors = deployed.boto("sagemaker-runtime").exceptions
    for texts, status in ((["가" * 100_000], 413), ([], 400), (["좋아요", 7], 400)):
        with pytest.raises(errors.ModelError) as refused:
            invoke(deployed, "realtime", texts)  # type: ignore[arg-type]
        assert refused.value.response["OriginalStatusCode"] == status, texts


def test_a_damaged_network_is_never_served(deployed: Laptop, exported: Path) -> None:
    # GIVEN a byte of the weights that is another one
    before = invoke(deployed, "realtime", REVIEWS)
    weights = exported / "model.data"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0xFF
    weights.write_bytes(content)

    # WHEN it is deployed THEN the deployment fails, the log says which file, and the good one serves on
    done = deployed.sandbox("deploy", "realtime", *CONTEXT, check=False)
    assert done.returncode != 0
    assert invoke(deployed, "realtime", REVIEWS) == before
    group = f"/aws/sagemaker/Endpoints/{deployed.outputs('realtime')['EndpointName']}"
    events = deployed.boto("logs").filter_log_events(logGroupName=group)["events"]
    assert any("model.data" in event["message"] for event in events)
