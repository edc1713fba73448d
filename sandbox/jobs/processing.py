"""What a processing job reads, runs and writes (API_CreateProcessingJob)."""

from __future__ import annotations

from sandbox.jobs.data import JobData
from sandbox.jobs.environment import HOST, base_environment, resource_config
from sandbox.jobs.failures import ALGORITHM_ERROR, JobFailed
from sandbox.jobs.images import check_image
from sandbox.jobs.layout import Tree
from sandbox.store import Job, Params

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_DEFAULT_RUNTIME = 86_400  # API_ProcessingStoppingCondition
_MESSAGE_LENGTH = 1_024


class ProcessingWork:
    """A processing job.

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
        network = self._request.get("NetworkConfig", {})
        self._isolated: bool = network.get("EnableNetworkIsolation", False)

    @property
    def limit(self) -> int:
        """MaxRuntimeInSeconds."""
        limit: int = self._request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _DEFAULT_RUNTIME)
        return limit

    def prepare(self, data: JobData) -> None:
        """Lay out the container's files. Blocking.

        Raises:
            JobFailed: An input cannot be had, or the image is none that the sandbox runs.
        """
        check_image(self._request["AppSpecification"]["ImageUri"])
        self._tree.make("config", "output", "processing")
        cluster = self._request["ProcessingResources"]["ClusterConfig"]
        config = {
            "ProcessingJobArn": self._job.arn,
            "ProcessingJobName": self._job.name,
            **self._request,
        }
        self._tree.write_json("config/processingjobconfig.json", self._tree.translated(config))
        self._tree.write_json("config/resourceconfig.json", resource_config(cluster["InstanceType"]))
        for given in self._request.get("ProcessingInputs", []):
            source = given["S3Input"]
            target = self._tree.path(source.get("LocalPath", f"/opt/ml/processing/{given['InputName']}"))
            data.fetch(source, target, source.get("S3CompressionType", "None"))
        for output in self._outputs():
            self._tree.path(output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """Program and arguments."""
        app = self._request["AppSpecification"]
        entrypoint, arguments = app["ContainerEntrypoint"], app.get("ContainerArguments", [])
        command: list[str] = self._tree.translated([*entrypoint, *arguments])
        return command

    def environment(self) -> dict[str, str]:
        """The whole environment."""
        own: dict[str, str] = self._tree.translated(self._request.get("Environment", {}))
        base = base_environment(self._tree, self._gateway_url, self._job.scope, isolated=self._isolated)
        return own | base | {"SM_CURRENT_HOST": HOST}

    def read(self, line: str) -> None:
        """Nothing is looked for in the output."""

    def save(self, data: JobData) -> None:
        """Put the outputs into S3. Blocking.

        Raises:
            JobFailed: S3 does not take them.
        """
        self._job.exit_message = self._tree.read_text("output/message", _MESSAGE_LENGTH) or None
        key = self._request.get("ProcessingOutputConfig", {}).get("KmsKeyId")
        for output in self._outputs():
            target = output["S3Output"]
            data.store(self._tree.path(target["LocalPath"]), target["S3Uri"], key)

    def save_failed(self, data: JobData) -> None:
        """A program that failed leaves its message only."""
        self._job.exit_message = self._tree.read_text("output/message", _MESSAGE_LENGTH) or None

    def failure(self, status: int, last_error: str) -> JobFailed:
        """The failure of a program that ended with another status than 0."""
        told = self._tree.read_text("output/failure", _MESSAGE_LENGTH)
        reason = told or last_error or "See job logs for more information"
        ended = f"signal: {-status}" if status < 0 else f"exit code: {status}"
        return JobFailed(ALGORITHM_ERROR, f"{reason}, {ended}")

    def exceeded(self) -> str:
        """What is said of a job that took longer than allowed."""
        return f"The job ran for longer than MaxRuntimeInSeconds, {self.limit} s, and was stopped."

    def _outputs(self) -> list[Params]:
        outputs: list[Params] = self._request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        return [output for output in outputs if "S3Output" in output]
