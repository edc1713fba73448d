"""The pipeline as the SageMaker Python SDK writes it, from raw reviews to a deployed endpoint.

    .cache/sdk/bin/python model_code/ml_pipeline/definition.py     # or --check: only tell whether it changed

Runs offline and writes stacks/ml_pipeline.json: the definition, in which ``@@NAME@@`` stands for what only
the stack knows, and the digest of this file. The SDK is large: nothing on the way of a synth imports this.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

# the SDK asks for these at import; nothing here calls AWS
os.environ["AWS_DEFAULT_REGION"] = "ap-northeast-2"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"

import boto3
from sagemaker.core.lambda_helper import Lambda
from sagemaker.core.metadata_properties import MetadataProperties
from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.processing import Processor
from sagemaker.core.shapes import (
    OutputDataConfig,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
    StoppingCondition,
)
from sagemaker.core.training.configs import Compute, InputData
from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.retry import (
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train.model_trainer import ModelTrainer

TEMPLATE = Path(__file__).resolve().parents[2] / "stacks" / "ml_pipeline.json"
_REGION = os.environ["AWS_DEFAULT_REGION"]
BUCKET, IMAGE = "s3://@@BUCKET@@", "@@IMAGE@@"
CODE = f"{BUCKET}/code/@@CODE_VERSION@@"
"""The job scripts: as objects below this prefix, and as an archive of the same name with ``.tar.gz``."""
TRAINING_ROLE = "arn:aws:iam::111122223333:role/training"
PROCESSING_ROLE = "arn:aws:iam::111122223333:role/processing"
DEPLOY_FUNCTION = f"arn:aws:lambda:{_REGION}:111122223333:function:deploy"
# the SDK wants these to look like the real ones, and writes the Region down
_STAND_INS = {
    TRAINING_ROLE: "@@TRAINING_ROLE_ARN@@",
    PROCESSING_ROLE: "@@PROCESSING_ROLE_ARN@@",
    DEPLOY_FUNCTION: "@@DEPLOY_FUNCTION_ARN@@",
    _REGION: "@@REGION@@",
}
ACCURACY = "binary_classification_metrics.accuracy.value"

# a folder below raw/ of the bucket: other data are another folder, see _results
DATA = ParameterString("InputData", default_value="reviews")
PROCESSING_INSTANCE = ParameterString("ProcessingInstanceType", default_value="ml.m5.large")
TRAINING_INSTANCE = ParameterString("TrainingInstanceType", default_value="ml.m5.large")
THRESHOLD = ParameterFloat("AccuracyThreshold", default_value=0.85)
APPROVAL = ParameterString("ModelApprovalStatus", default_value="PendingManualApproval")
# those of train.py that are worth turning, with its defaults
HYPERPARAMETERS = {
    "epochs": ParameterInteger("Epochs", default_value=4),
    "batch-size": ParameterInteger("BatchSize", default_value=64),
    "learning-rate": ParameterFloat("LearningRate", default_value=0.5),
    "l2": ParameterFloat("L2", default_value=1e-5),
    "seed": ParameterInteger("Seed", default_value=20150501),
}
_CACHE = CacheConfig(enable_caching=True, expire_after="P30D")
_CALL_RETRY = StepRetryPolicy(
    exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
    interval_seconds=10,
    max_attempts=3,
)
_RETRIES = [
    _CALL_RETRY,
    SageMakerJobStepRetryPolicy(
        exception_types=[SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT],
        failure_reason_types=[
            SageMakerJobExceptionTypeEnum.INTERNAL_ERROR,
            SageMakerJobExceptionTypeEnum.CAPACITY_ERROR,
        ],
        interval_seconds=60,
        max_attempts=3,
    ),
]


def _session() -> PipelineSession:
    offline = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
    session = PipelineSession(
        boto_session=boto3.Session("offline", "offline", region_name=_REGION),
        default_bucket="@@BUCKET@@",
        sagemaker_config=offline,
    )
    session._default_bucket = "@@BUCKET@@"  # otherwise the SDK asks S3 for it
    return session


def _reads(name: str, uri: Any, folder: str) -> ProcessingInput:
    path = f"/opt/ml/processing/{folder}"
    source = ProcessingS3Input(s3_uri=uri, local_path=path, s3_data_type="S3Prefix", s3_input_mode="File")
    return ProcessingInput(input_name=name, s3_input=source)


def _results(name: str, *made_with: Any) -> Join:
    """Where results go: the same place for the same code, data and whatever else they are made with.

    The cache compares arguments, not contents. With a place per execution nothing would ever come from the
    cache; with one place for all, the next step would be served what it made of other data, and the metrics
    of a registered version would be overwritten.
    """
    return Join(on="/", values=[f"{BUCKET}/results/@@CODE_VERSION@@", DATA, *made_with, name])


def _writes(name: str, *made_with: Any) -> ProcessingOutput:
    target = ProcessingS3Output(
        s3_uri=_results(name, *made_with),
        local_path=f"/opt/ml/processing/{name}",
        s3_upload_mode="EndOfJob",
    )
    return ProcessingOutput(output_name=name, s3_output=target)


def _processing(
    session: PipelineSession,
    name: str,
    script: str,
    inputs: list[ProcessingInput],
    outputs: list[ProcessingOutput],
    files: list[PropertyFile] | None = None,
) -> ProcessingStep:
    processor = Processor(
        role=PROCESSING_ROLE,
        image_uri=IMAGE,
        instance_count=1,
        instance_type=PROCESSING_INSTANCE,
        entrypoint=["python3", f"/opt/ml/processing/input/code/{script}"],
        volume_size_in_gb=30,
        max_runtime_in_seconds=3600,
        sagemaker_session=session,
    )
    arguments = processor.run(
        inputs=[*inputs, _reads("code", f"{CODE}/", "input/code")],
        outputs=outputs,
    )
    return ProcessingStep(
        name, step_args=arguments, property_files=files, cache_config=_CACHE, retry_policies=_RETRIES
    )


def _written(step: ProcessingStep, output: str) -> Any:
    return step.properties.ProcessingOutputConfig.Outputs[output].S3Output.S3Uri


def _training(session: PipelineSession, data: Any) -> TrainingStep:
    trainer = ModelTrainer(
        sagemaker_session=session,
        role=TRAINING_ROLE,
        training_image=IMAGE,
        base_job_name="train",
        compute=Compute(instance_type=TRAINING_INSTANCE, instance_count=1, volume_size_in_gb=30),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=3600),
        output_data_config=OutputDataConfig(s3_output_path=f"{BUCKET}/models"),
        input_data_config=[InputData(channel_name="train", data_source=data)],
        environment={
            "SAGEMAKER_PROGRAM": "training_job.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": f"{CODE}.tar.gz",
        },
        # the API takes texts only
        hyperparameters={name: parameter.to_string() for name, parameter in HYPERPARAMETERS.items()},
    )
    return TrainingStep("Train", step_args=trainer.train(), cache_config=_CACHE, retry_policies=_RETRIES)


def _register(session: PipelineSession, training: TrainingStep, evaluation: Any) -> ModelStep:
    builder = ModelBuilder(
        image_uri=IMAGE,
        s3_model_data_url=training.properties.ModelArtifacts.S3ModelArtifacts,
        env_vars={
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        },
        role_arn=TRAINING_ROLE,
        sagemaker_session=session,
    )
    report = MetricsSource(content_type="application/json", s3_uri=evaluation)
    arguments = builder.register(
        model_package_group_name="@@MODEL_PACKAGE_GROUP@@",
        content_types=["application/json", "application/jsonlines", "text/csv", "text/plain"],
        response_types=["application/json", "application/jsonlines", "text/csv"],
        inference_instances=["ml.m5.large", "ml.c5.large"],
        approval_status=APPROVAL,
        model_metrics=ModelMetrics(model_statistics=report),
        # where a version comes from, for a person and for SageMaker's lineage
        metadata_properties=MetadataProperties(generated_by=training.properties.TrainingJobArn),
        customer_metadata_properties={
            "CodeVersion": "@@CODE_VERSION@@",
            "InputData": DATA,
            "PipelineExecution": ExecutionVariables.PIPELINE_EXECUTION_ARN,
        },
    )
    return ModelStep("Register", step_args=arguments, retry_policies=[_CALL_RETRY])


def build() -> dict[str, Any]:
    """Return the definition, with placeholders."""
    session = _session()
    preprocess = _processing(
        session,
        "Preprocess",
        "preprocess.py",
        [_reads("raw", Join(on="/", values=[f"{BUCKET}/raw", DATA, ""]), "raw")],
        [_writes(name) for name in ("train", "test", "report")],
    )
    train = _training(session, _written(preprocess, "train"))
    report = PropertyFile(name="Evaluation", output_name="evaluation", path="evaluation.json")
    evaluate = _processing(
        session,
        "Evaluate",
        "evaluate.py",
        [
            _reads("model", train.properties.ModelArtifacts.S3ModelArtifacts, "model"),
            _reads("test", _written(preprocess, "test"), "test"),
        ],
        [_writes("evaluation", *HYPERPARAMETERS.values())],
        [report],
    )
    accuracy = JsonGet(step_name="Evaluate", property_file=report, json_path=ACCURACY)
    written = Join(on="/", values=[_written(evaluate, "evaluation"), "evaluation.json"])
    register = _register(session, train, written)
    deploy = LambdaStep(
        "Deploy",
        lambda_func=Lambda(function_arn=DEPLOY_FUNCTION, session=session),
        inputs={"model_package_arn": register.properties.ModelPackageArn},
        outputs=[
            LambdaOutput(output_name=name, output_type=LambdaOutputTypeEnum.String)
            for name in ("endpoint_name", "status")
        ],
    )
    too_low = FailStep(
        "AccuracyTooLow",
        error_message=Join(
            on=" ",
            values=["Nothing is registered: accuracy", accuracy, "is below AccuracyThreshold", THRESHOLD],
        ),
    )
    check = ConditionStep(
        "CheckAccuracy",
        conditions=[ConditionGreaterThanOrEqualTo(left=accuracy, right=THRESHOLD)],
        if_steps=[register, deploy],
        else_steps=[too_low],
    )
    pipeline = Pipeline(
        name="ml-pipeline",
        # a trial for each execution would be one more thing to pay for, to permit and to remove
        pipeline_experiment_config=None,
        parameters=[
            DATA,
            PROCESSING_INSTANCE,
            TRAINING_INSTANCE,
            THRESHOLD,
            APPROVAL,
            *HYPERPARAMETERS.values(),
        ],
        steps=[preprocess, train, evaluate, check],
        sagemaker_session=session,
    )
    text: str = pipeline.definition()
    for stand_in, placeholder in _STAND_INS.items():
        text = text.replace(json.dumps(stand_in), json.dumps(placeholder))
    definition: dict[str, Any] = json.loads(text)
    return definition


def main() -> int:
    """Write the template, or tell whether it is up to date; return the exit status."""
    parser = argparse.ArgumentParser(description="Write the template of the pipeline's definition.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it would change")
    options = parser.parse_args()
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    text = json.dumps({"source": source, "definition": build()}, indent=2) + "\n"
    if not options.check:
        TEMPLATE.write_text(text, encoding="utf-8")
    elif not TEMPLATE.is_file() or TEMPLATE.read_text(encoding="utf-8") != text:
        print(f"{TEMPLATE} is not what {Path(__file__).name} writes: run make generated", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
