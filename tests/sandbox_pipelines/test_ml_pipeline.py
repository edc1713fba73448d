"""The committed definition and its job scripts, from raw reviews to the deploy function."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tests.sandbox_api.world import IMAGE, ROLE
from tests.sandbox_jobs.workshop import Workshop, archive, unpacked
from tests.sandbox_pipelines.definitions import Runner

ROOT = Path(__file__).resolve().parents[2]
JOBS = ("Preprocess", "Train", "Evaluate")
VALUES = {
    "BUCKET": "b",
    "CODE_VERSION": "v1",
    "IMAGE": IMAGE,
    "MODEL_PACKAGE_GROUP": "reviews",
    "TRAINING_ROLE_ARN": ROLE,
    "PROCESSING_ROLE_ARN": ROLE,
    "DEPLOY_FUNCTION_ARN": "arn:aws:lambda:ap-northeast-2:000000000000:function:deploy",
    "REGION": "ap-northeast-2",
}


def put_code(workshop: Workshop) -> None:
    code = {
        file.name: file.read_text(encoding="utf-8")
        for folder in ("sentiment", "shared", "ml_pipeline")
        for file in (ROOT / "model_code" / folder).glob("*.py")
    }
    workshop.s3.put("s3://b/code/v1.tar.gz", archive(code))
    for name, content in code.items():
        workshop.s3.put(f"s3://b/code/v1/{name}", content)


def put_data(workshop: Workshop, folder: str, seed: int) -> None:
    source = random.Random(seed)
    words = (["지루", "최악", "아깝"], ["재밌", "감동", "최고"])
    lines = [f"{n}\t{source.choice(words[n % 2])} 영화\t{n % 2}" for n in range(200)]
    workshop.s3.put(f"s3://b/raw/{folder}/reviews.tsv", "\n".join(["id\tdocument\tlabel", *lines]) + "\n")


def test_from_raw_reviews_to_the_deploy_function(runner: Runner, workshop: Workshop, sagemaker: Any) -> None:
    # GIVEN the committed definition, its code, and two folders of data
    put_code(workshop)
    put_data(workshop, "reviews", 1)
    put_data(workshop, "more", 2)
    deployed = {"endpoint_name": "live", "status": "InService"}
    workshop.functions.functions["deploy"] = lambda event: deployed
    template = json.loads((ROOT / "stacks" / "ml_pipeline.json").read_text(encoding="utf-8"))
    body = json.dumps(template["definition"])
    for name, value in VALUES.items():
        body = body.replace(f"@@{name}@@", value)
    sagemaker.create_pipeline(PipelineName="P", PipelineDefinition=body, RoleArn=ROLE)

    # WHEN it runs
    first, steps = runner.run("P")

    # THEN a version with its evaluation is registered, and given to the deploy function
    assert first["PipelineExecutionStatus"] == "Succeeded", (first, steps)
    (version,) = sagemaker.list_model_packages(ModelPackageGroupName="reviews")["ModelPackageSummaryList"]
    arn = version["ModelPackageArn"]
    assert version["ModelApprovalStatus"] == "PendingManualApproval"
    assert workshop.functions.calls == [("deploy", {"model_package_arn": arn})]
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    report = json.loads(workshop.s3.read(package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]))
    assert report["binary_classification_metrics"]["accuracy"]["value"] == 1.0
    (container,) = package["InferenceSpecification"]["Containers"]
    files = {name.removeprefix("./") for name in unpacked(workshop.s3.read(container["ModelDataUrl"]))}
    assert {"model.npz", "code/inference.py"} <= files

    # WHEN nothing changed THEN all jobs come from the cache
    _, steps = runner.run("P")
    assert [name for name in JOBS if "CacheHitResult" in steps[name]] == list(JOBS)

    # WHEN the data are others THEN no job does
    _, steps = runner.run("P", InputData="more")
    assert [name for name in JOBS if "CacheHitResult" in steps[name]] == []

    # WHEN a hyperparameter is another THEN the preparation still does
    _, steps = runner.run("P", Epochs="2")
    assert [name for name in JOBS if "CacheHitResult" in steps[name]] == ["Preprocess"]

    # WHEN the model is not good enough THEN nothing is registered or deployed, and the reason is told
    before = len(workshop.functions.calls)
    bad, steps = runner.run("P", AccuracyThreshold="1.01")
    assert bad["PipelineExecutionStatus"] == "Failed"
    assert "accuracy 1.0 is below AccuracyThreshold 1.01" in bad["FailureReason"]
    assert "Register" not in steps
    assert len(workshop.functions.calls) == before
