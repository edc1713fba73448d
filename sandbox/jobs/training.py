"""What a training job reads, runs and writes (API_CreateTrainingJob, SageMaker training toolkit)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sandbox.fleet.images import missing_requirements
from sandbox.jobs.data import JobData
from sandbox.jobs.environment import (
    base_environment,
    decoded,
    resource_config,
    toolkit_environment,
    user_arguments,
)
from sandbox.jobs.failures import ALGORITHM_ERROR, CLIENT_ERROR, JobFailed
from sandbox.jobs.images import check_image
from sandbox.jobs.layout import Tree
from sandbox.jobs.metrics import FinalMetrics
from sandbox.store import Job, Params

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_DEFAULT_RUNTIME = 86_400  # API_StoppingCondition
_FAILURE_LENGTH = 1_024


class TrainingWork:
    """A training job.

    Args:
        job: The job.
        tree: Its container's files.
        gateway_url: The AWS that it may call.
    """

    log_group = LOG_GROUP

    def __init__(self, job: Job, tree: Tree, gateway_url: str) -> None:
        self._job = job
        self._tree = tree
        self._gateway_url = gateway_url
        self._request = job.request
        self._algorithm = job.request["AlgorithmSpecification"]
        self._metrics = FinalMetrics(self._algorithm.get("MetricDefinitions", []))
        given = {name: decoded(value) for name, value in job.request.get("HyperParameters", {}).items()}
        # those of the toolkit itself are no arguments of the script
        self._hyperparameters = {
            name: value for name, value in given.items() if not name.startswith("sagemaker_")
        }
        environment = job.request.get("Environment", {})
        self._program = str(environment.get("SAGEMAKER_PROGRAM") or given.get("sagemaker_program") or "")
        self._submitted = str(
            environment.get("SAGEMAKER_SUBMIT_DIRECTORY") or given.get("sagemaker_submit_directory") or ""
        )
        self._code = tree.base / "code"

    @property
    def limit(self) -> int:
        """MaxRuntimeInSeconds."""
        limit: int = self._request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _DEFAULT_RUNTIME)
        return limit

    def prepare(self, data: JobData) -> None:
        """Lay out the container's files. Blocking.

        Raises:
            JobFailed: A channel or the code cannot be had, or the image is none that the sandbox runs.
        """
        check_image(self._algorithm["TrainingImage"])
        self._tree.make("input/config", "input/data", "model", "output/data", "code", "checkpoints")
        write, translated = self._tree.write_json, self._tree.translated
        write("input/config/hyperparameters.json", translated(self._request.get("HyperParameters", {})))
        write("input/config/inputdataconfig.json", self._channels())
        write("input/config/resourceconfig.json", resource_config(self._instance_type))
        for channel in self._request.get("InputDataConfig", []):
            target = self._tree.base / "input" / "data" / channel["ChannelName"]
            source = channel["DataSource"]["S3DataSource"]
            data.fetch(source, target, channel.get("CompressionType", "None"))
        if self._submitted.startswith("s3://"):
            data.fetch_code(self._submitted, self._code, self._tree.root / "tmp")
        elif self._submitted:
            self._code = self._tree.path(self._submitted)
        self._check_code()

    def command(self) -> list[str]:
        """Program and arguments: the request's entrypoint, else the script with hyperparameters."""
        entrypoint = self._algorithm.get("ContainerEntrypoint")
        arguments: list[str] = self._algorithm.get("ContainerArguments", [])
        if entrypoint:
            command: list[str] = self._tree.translated([*entrypoint, *arguments])
            return command
        script = str(self._code / self._program)
        own = self._tree.translated(user_arguments(self._hyperparameters))
        if self._program.endswith(".sh"):
            return ["/bin/sh", script, *own]
        return ["python", script, *own]

    def environment(self) -> dict[str, str]:
        """The whole environment."""
        own: dict[str, str] = self._tree.translated(self._request.get("Environment", {}))
        isolated = bool(self._request.get("EnableNetworkIsolation"))
        hyperparameters: dict[str, Any] = self._tree.translated(self._hyperparameters)
        return (
            own
            | base_environment(self._tree, self._gateway_url, self._job.scope, isolated=isolated)
            | toolkit_environment(
                self._job, self._tree, self._channels(), hyperparameters, self._program, self._code
            )
            | {"TRAINING_JOB_NAME": self._job.name, "TRAINING_JOB_ARN": self._job.arn}
            | (
                {"SAGEMAKER_PROGRAM": self._program, "SAGEMAKER_SUBMIT_DIRECTORY": str(self._code)}
                if self._program
                else {}
            )
        )

    def read(self, line: str) -> None:
        """Look for metrics in a line of output."""
        self._metrics.read(line)

    def save(self, data: JobData) -> None:
        """Put model and other output into S3. Blocking.

        Raises:
            JobFailed: S3 does not take them.
        """
        self._job.metrics = self._metrics.final
        config = self._request["OutputDataConfig"]
        place, key = f"{config['S3OutputPath'].rstrip('/')}/{self._job.name}/output", config.get("KmsKeyId")
        model, output, scratch = self._tree.base / "model", self._tree.base / "output/data", self._tree.root
        if config.get("CompressionType") == "NONE":
            data.store(model, f"{place}/model", key)
            data.store(output, f"{place}/data", key)
            self._job.artifacts = f"{place}/model/"
        else:
            data.store_archive(model, f"{place}/model.tar.gz", scratch, key)
            if any(output.iterdir()):
                data.store_archive(output, f"{place}/output.tar.gz", scratch, key)
            self._job.artifacts = f"{place}/model.tar.gz"
        self._save_checkpoints(data)

    def save_failed(self, data: JobData) -> None:
        """A program that failed leaves its metrics and checkpoints, but no model."""
        self._job.metrics = self._metrics.final
        self._save_checkpoints(data)

    def failure(self, status: int, last_error: str) -> JobFailed:
        """The failure of a program that ended with another status than 0."""
        told = self._tree.read_text("output/failure", _FAILURE_LENGTH)
        ended = f"signal: {-status}" if status < 0 else f"exit code: {status}"
        if not told:
            ran = self._program or "the container's entrypoint"
            told = f"ExecuteUserScriptError: {ran} failed: {last_error or 'it printed nothing'}"
        return JobFailed(ALGORITHM_ERROR, f"{told}, {ended}")

    def exceeded(self) -> str:
        """What is said of a job that took longer than allowed."""
        return f"The job ran for longer than MaxRuntimeInSeconds, {self.limit} s, and was stopped."

    def _save_checkpoints(self, data: JobData) -> None:
        config = self._request.get("CheckpointConfig")
        if config:
            folder = self._tree.path(config.get("LocalPath", "/opt/ml/checkpoints"))
            data.store(folder, config["S3Uri"])

    @property
    def _instance_type(self) -> str:
        return str(self._request["ResourceConfig"].get("InstanceType", ""))

    def _channels(self) -> Params:
        """Content of inputdataconfig.json."""
        return {
            channel["ChannelName"]: {
                "TrainingInputMode": channel.get("InputMode", self._algorithm["TrainingInputMode"]),
                "ContentType": channel.get("ContentType", ""),
                "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                    "S3DataDistributionType", "FullyReplicated"
                ),
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            }
            for channel in self._request.get("InputDataConfig", [])
        }

    def _check_code(self) -> None:
        if self._algorithm.get("ContainerEntrypoint"):
            return
        if not self._program:
            raise JobFailed(
                CLIENT_ERROR,
                "The sandbox needs a program: set SAGEMAKER_PROGRAM (a script in the archive that "
                "SAGEMAKER_SUBMIT_DIRECTORY names) or AlgorithmSpecification.ContainerEntrypoint.",
            )
        if ".." in Path(self._program).parts or not (self._code / self._program).is_file():
            where = self._submitted or "/opt/ml/code"
            raise JobFailed(CLIENT_ERROR, f"There is no script {self._program!r} in {where}.")
        missing = missing_requirements(self._code / "requirements.txt")
        if missing:
            raise JobFailed(
                CLIENT_ERROR,
                f"requirements.txt asks for {', '.join(missing)}, which the sandbox's environment does not "
                "have and the sandbox does not install. Install with: python -m pip install "
                f"{' '.join(repr(line) for line in missing)}.",
            )
