"""Asynchronous inference: a video wakes a sleeping endpoint, boxes come back, a broken video fails."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from client.async_inference.answers import Written, write_answer
from client.async_inference.progress import Instances, telling
from client.async_inference.results import FAILED, wait_for_results
from client.async_inference.sending import Places, send
from client.async_inference.state import instances_of
from client.async_inference.view import detections_table, show_written
from client.connection import Connection
from client.demos.outcome import Outcome, Step, client_steps, usual_steps
from client.errors import UserError
from client.invocation import model_message
from client.output import err, out, plain
from client.patterns import DeployedPattern
from client.status import endpoint_status
from client.waiting import poll_seconds, wait_until_in_service

FOLDER = Path(".cache") / "demo-async"
_MAKE_VIDEO = Path(__file__).resolve().parents[2] / "tools" / "make_video.py"
_CLIP = ("--seconds", "6", "--objects", "6", "--seed", "4")
_MAKE_WITHIN_SECONDS = 120
_TIMEOUT_SECONDS_SANDBOX = 120.0
_TIMEOUT_SECONDS_AWS = 30 * 60.0


class Detected(Outcome):
    """A good and a broken video, and the instances meanwhile."""

    def __init__(
        self,
        good: Written,
        broken: Written,
        instances: Instances,
        sleeps: bool,
        asleep_again: bool,
        next_steps: Sequence[Step],
    ) -> None:
        super().__init__(next_steps)
        self.good, self.broken = good, broken
        self.instances, self.sleeps, self.asleep_again = instances, sleeps, asleep_again

    @property
    def problem(self) -> UserError | None:
        """What was not as the pattern promises."""
        lines = []
        good, broken = self.good.result, self.broken.result
        if not good.ok:
            lines.append(f"the video ended as {good.status}: {good.reason}")
        elif good.notification is None:
            lines.append(f"no success notification came: {good.note}")
        elif self.good.detections is None or not self.good.detections.objects:
            lines.append("nothing was detected in the video")
        if good.ok and self.good.not_drawn:
            lines.append(f"no contact sheet: {self.good.not_drawn}")
        if broken.status != FAILED:
            lines.append(f"the broken video ended as {broken.status}, and had to fail")
        else:
            if broken.notification is None:
                lines.append(f"no error notification came: {broken.note}")
            if not broken.body:
                lines.append("there is no failure object in S3")
        if self.sleeps and not self.instances.woke:
            lines.append(f"the endpoint was not seen to wake; instances: {self._counts()}")
        if self.sleeps and not self.asleep_again:
            lines.append("the endpoint did not go back to zero instances")
        return UserError("Asynchronous inference did not go as promised", "\n".join(lines)) if lines else None

    def show(self) -> None:
        """Both requests, what was found, the instances."""
        for written in (self.good, self.broken):
            show_written(written)
            told = written.result.notification
            if told:
                out.print(Text.assemble(("  notified   ", "dim"), told.status), soft_wrap=True)
            if written.result.status == FAILED and written.result.body:
                said = model_message(written.result.body.decode(errors="replace"))
                out.print(Text.assemble(("  model said ", "dim"), plain(said)), soft_wrap=True)
        if self.good.detections:
            out.print(detections_table(self.good.detections))
        out.print(Text.assemble(("instances  ", "bold"), self._counts()), soft_wrap=True)

    def figures(self) -> dict[str, Any]:
        """Requests and instances."""
        return {
            "video": self.good.as_dict(),
            "broken_video": self.broken.as_dict(),
            "instances": self.instances.seen,
            "sleeps": self.sleeps,
            "asleep_again": self.asleep_again,
        }

    def _counts(self) -> str:
        return " -> ".join(str(count) for count in self.instances.seen) or "not seen"


def demo_async(connection: Connection, deployed: DeployedPattern) -> Detected:
    """Let the endpoint fall asleep, send a video and a broken one, wait until it sleeps again.

    Raises:
        UserError: The endpoint is not what the stack asked for, refuses a request, or no clip can be made.
    """
    wait_until_in_service(connection, deployed)
    places = Places.of(deployed)
    video, broken = _make_clips()
    sleeps = _least_instances(connection, deployed) == 0
    instances = Instances()
    if sleeps:
        _wait_for_sleep(connection, deployed, instances, "waiting until the endpoint sleeps")
    instances.seen = instances.seen[-1:]
    requests = []
    for file in (video, broken):
        requests.append(send(connection, places, file))
        err.print(f"{file.name}: accepted as {requests[-1].inference_id}", soft_wrap=True, markup=False)
    with telling(connection, deployed, instances) as look:
        results = wait_for_results(connection, places, requests, timeout=_timeout(connection), on_look=look)
    instances.note(instances_of(endpoint_status(connection, deployed)))
    good, failed = (write_answer(one) for one in results)
    asleep = sleeps and _wait_for_sleep(connection, deployed, instances, "waiting until it sleeps again")
    steps = client_steps(
        connection,
        ("your own video", "async run VIDEO.mp4"),
        ("queue and instances", "async status"),
    )
    return Detected(
        good,
        failed,
        instances,
        sleeps,
        asleep,
        steps + usual_steps(connection, deployed, "model_code/video_detection or config/dev.yaml"),
    )


def _make_clips() -> tuple[Path, Path]:
    """A clip with moving objects, and one that breaks off."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    video, broken = FOLDER / "clip.mp4", FOLDER / "broken.mp4"
    try:
        done = subprocess.run(  # noqa: S603  # our own tool, and no word comes from outside
            [sys.executable, str(_MAKE_VIDEO), str(video), *_CLIP],
            capture_output=True,
            text=True,
            timeout=_MAKE_WITHIN_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"No clip could be made: {error}") from None
    if done.returncode != 0:
        said = done.stderr.strip().rpartition("\n")[2]
        raise UserError(f"No clip could be made: {said}", f"It was made by {_MAKE_VIDEO}; try `make setup`.")
    content = video.read_bytes()
    broken.write_bytes(content[: len(content) // 3])
    return video, broken


def _least_instances(connection: Connection, deployed: DeployedPattern) -> int | None:
    """Fewest instances that scaling may set; None if it does not scale."""
    targets = connection.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="sagemaker",
        ResourceIds=[f"endpoint/{deployed.endpoint_name}/variant/{deployed.variant_names[0]}"],
    )["ScalableTargets"]
    return int(targets[0]["MinCapacity"]) if targets else None


def _wait_for_sleep(
    connection: Connection, deployed: DeployedPattern, instances: Instances, words: str
) -> bool:
    """Wait for zero instances; whether they came."""
    deadline = time.monotonic() + _timeout(connection)
    with err.status(words):
        if not err.is_terminal:
            err.print(words, soft_wrap=True)
        while True:
            count = instances_of(endpoint_status(connection, deployed))
            instances.note(count)
            if count == 0:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(poll_seconds(connection))


def _timeout(connection: Connection) -> float:
    return _TIMEOUT_SECONDS_SANDBOX if connection.is_sandbox else _TIMEOUT_SECONDS_AWS
