"""A pipeline from data to a deployment: prepare, train, evaluate, decide, register, deploy."""

from __future__ import annotations

from sandbox.store import Params
from tests.sandbox_jobs.workshop import reads, writes
from tests.sandbox_pipelines.definitions import (
    at_least,
    condition_step,
    fail_step,
    get,
    join,
    lambda_step,
    parameter,
    processing_step,
    register_step,
    training_step,
)

PREPARE = """
import os, pathlib
base = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'], 'processing')
rows = (base / 'raw' / 'rows.csv').read_text().splitlines()
(base / 'train' / 'rows.csv').write_text('\\n'.join(rows[1:]))
"""
TRAIN = """
import os, pathlib
rows = pathlib.Path(os.environ['SM_CHANNEL_TRAIN'], 'rows.csv').read_text().split()
pathlib.Path(os.environ['SM_MODEL_DIR'], 'model.txt').write_text(f"{len(rows)} {os.environ['SM_HP_RATE']}")
print(f'rows: {len(rows)}')
"""
EVALUATE = """
import json, os, pathlib
base = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'], 'processing')
assert list((base / 'model').iterdir())
(base / 'report' / 'evaluation.json').write_text(json.dumps({'metrics': {'accuracy': {'value': 0.9}}}))
"""
REPORT = {"Get": "Steps.Evaluate.PropertyFiles.Report"}
SUBMIT = "s3://in/code.tar.gz"


def accuracy(path: str = "metrics.accuracy.value") -> Params:
    return {"Std:JsonGet": {"PropertyFile": REPORT, "Path": path}}


def job_steps() -> list[Params]:
    """Prepare, train and evaluate, all with the cache on."""
    cache = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P30D"}}
    prepare = processing_step(
        "Prepare",
        PREPARE,
        job={
            "ProcessingInputs": [reads("raw", "x") | {"S3Input": from_(get("Parameters.Data"), "raw")}],
            "ProcessingOutputConfig": {"Outputs": [writes("train", "s3://out/prepared/train")]},
        },
        **cache,
    )
    prepared = get("Steps.Prepare.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri")
    source = {"S3DataType": "S3Prefix", "S3Uri": prepared}
    train = training_step(
        "Train",
        SUBMIT,
        job={
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
            "HyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": SUBMIT,
                "rate": get("Parameters.Rate"),
            },
            "AlgorithmSpecification": {
                "TrainingImage": "sagemaker-scikit-learn:1.2-1",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "rows", "Regex": "rows: ([0-9]+)"}],
            },
        },
        **cache,
    )
    model = get("Steps.Train.ModelArtifacts.S3ModelArtifacts")
    evaluate = processing_step(
        "Evaluate",
        EVALUATE,
        job={
            "ProcessingInputs": [reads("model", "x") | {"S3Input": from_(model, "model")}],
            "ProcessingOutputConfig": {"Outputs": [writes("report", "s3://out/report")]},
        },
        PropertyFiles=[{"PropertyFileName": "Report", "OutputName": "report", "FilePath": "evaluation.json"}],
        **cache,
    )
    return [prepare, train, evaluate]


def from_(uri: Params, name: str) -> Params:
    return {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/{name}", "S3DataType": "S3Prefix"}


def whole() -> list[Params]:
    """Jobs, a condition on the accuracy, registration and deployment, or failure."""
    deploy = lambda_step(
        "Deploy",
        "deploy",
        {"package": get("Steps.Register.ModelPackageArn"), "run": get("Execution.PipelineExecutionId")},
        endpoint="String",
        size="Integer",
        details="String",
    )
    words = join("accuracy ", accuracy(), " is below ", get("Parameters.Threshold"))
    check = condition_step(
        "Check",
        at_least(accuracy(), get("Parameters.Threshold")),
        yes=[register_step("Register", get("Steps.Train.ModelArtifacts.S3ModelArtifacts")), deploy],
        no=[fail_step("TooLow", words)],
    )
    after = lambda_step("Tell", "tell", {"endpoint": get("Steps.Deploy.OutputParameters['endpoint']")})
    return [*job_steps(), check, after]


PARAMETERS = [
    parameter("Data", default="s3://in/raw/"),
    parameter("Rate", "Float", 0.5),
    parameter("Threshold", "Float", 0.8),
]
