"""The committed template of the pipeline's definition: up to date, valid, safe to cache."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from sandbox.pipelines.definition import check_definition

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "model_code" / "ml_pipeline" / "definition.py"
TEMPLATE = json.loads((ROOT / "stacks" / "ml_pipeline.json").read_text(encoding="utf-8"))
DEFINITION: dict[str, Any] = TEMPLATE["definition"]
STEPS = {step["Name"]: step for step in DEFINITION["Steps"]}
DEFAULTS = {item["Name"]: item["DefaultValue"] for item in DEFINITION["Parameters"]}


def test_it_was_written_by_the_generator_as_it_is_now() -> None:
    assert TEMPLATE["source"] == hashlib.sha256(SOURCE.read_bytes()).hexdigest(), "run make generated"


def test_it_is_what_the_generator_writes(sdk_python: str) -> None:
    done = subprocess.run([sdk_python, str(SOURCE), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_valid_and_holds_nothing_of_any_account_or_region() -> None:
    # GIVEN the template WHEN its placeholders are looked for THEN they are those that the stack replaces
    text = json.dumps(DEFINITION)
    assert set(re.findall(r"@@(\w+)@@", text)) == {
        "BUCKET",
        "CODE_VERSION",
        "IMAGE",
        "MODEL_PACKAGE_GROUP",
        "TRAINING_ROLE_ARN",
        "PROCESSING_ROLE_ARN",
        "DEPLOY_FUNCTION_ARN",
        "REGION",
    }
    assert not re.search(r"arn:aws|\d{12}|ap-northeast", text)

    # AND it passes the service's checks once they are
    arn = "arn:aws:lambda:us-east-1:111122223333:function:deploy"
    check_definition(re.sub(r"@@\w+@@", "x", text.replace("@@DEPLOY_FUNCTION_ARN@@", arn)))


def test_hyperparameters_default_to_those_of_the_training_script() -> None:
    # GIVEN the defaults in the training script's class
    tree = ast.parse((ROOT / "model_code" / "sentiment" / "train.py").read_text(encoding="utf-8"))
    (found,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Hyperparameters")
    fields = [item for item in found.body if isinstance(item, ast.AnnAssign) and item.value]
    wanted = {ast.unparse(item.target): ast.literal_eval(item.value) for item in fields if item.value}

    # WHEN the training step's arguments are followed to their parameters THEN the defaults are the same
    given = STEPS["Train"]["Arguments"]["HyperParameters"]
    assert {"epochs", "batch-size", "learning-rate", "l2", "seed"} == given.keys()
    for name, value in given.items():
        (reference,) = value["Std:Join"]["Values"]
        assert DEFAULTS[reference["Get"].removeprefix("Parameters.")] == wanted[name.replace("-", "_")]


def test_results_of_other_code_data_or_hyperparameters_are_elsewhere() -> None:
    # GIVEN what is written by the processing steps
    for step, made_with in {
        "Preprocess": ["InputData"],
        "Evaluate": ["InputData", "Epochs", "BatchSize", "LearningRate", "L2", "Seed"],
    }.items():
        for output in STEPS[step]["Arguments"]["ProcessingOutputConfig"]["Outputs"]:
            # THEN its place tells what it was made with, so that the cache never serves another's
            first, *parts, name = output["S3Output"]["S3Uri"]["Std:Join"]["Values"]
            assert first.endswith("/@@CODE_VERSION@@")
            assert [part["Get"] for part in parts] == [f"Parameters.{parameter}" for parameter in made_with]
            assert name == output["OutputName"]


def test_jobs_are_cached_and_retried() -> None:
    for name in ("Preprocess", "Train", "Evaluate"):
        assert STEPS[name]["CacheConfig"] == {"Enabled": True, "ExpireAfter": "P30D"}
        retried = {kind for policy in STEPS[name]["RetryPolicies"] for kind in policy["ExceptionType"]}
        assert {"Step.THROTTLING", "SageMaker.CAPACITY_ERROR"} <= retried
