"""What a person gets wrong at the command line: one message that says what to do, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.sandbox.laptop import BROKEN_ON_LOAD, STACK, Laptop, free_port, invoke

pytestmark = pytest.mark.sandbox


@pytest.fixture
def fresh(tmp_path: Path) -> Laptop:
    """A laptop on which no sandbox was ever started."""
    return Laptop(tmp_path)


def assert_refused(done: object, *words: str) -> None:
    """Exit status not 0, the words are there, and there is no traceback."""
    said = done.stdout + done.stderr  # type: ignore[attr-defined]
    assert done.returncode != 0  # type: ignore[attr-defined]
    assert "Traceback" not in said, said
    for word in words:
        assert word in said, said


def test_without_a_sandbox_every_command_says_how_to_start_one(fresh: Laptop) -> None:
    # GIVEN no sandbox
    # WHEN something is asked of it
    # THEN each command says what to do
    for arguments in (["deploy", "realtime"], ["destroy", "realtime"], ["env"], ["run", "--", "true"]):
        assert_refused(fresh.sandbox(*arguments, check=False), "sandbox up")


def test_a_taken_port_is_named(fresh: Laptop) -> None:
    # GIVEN a port that somebody listens on
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        # WHEN the sandbox is asked to use it
        done = fresh.sandbox("up", "--port", port, check=False)

    # THEN it says so, and nothing runs
    assert_refused(done, port)
    assert_refused(fresh.sandbox("env", check=False), "sandbox up")


def test_two_sandboxes_do_not_know_each_other(laptop: Laptop, fresh: Laptop) -> None:
    # GIVEN one sandbox
    before = laptop.environment()

    # WHEN another is started from another folder, and stopped
    fresh.sandbox("up", "--port", str(free_port()))
    try:
        other = fresh.environment()
    finally:
        fresh.sandbox("down")

    # THEN they had different ports, and the first is still there
    assert other["AWS_ENDPOINT_URL"] != before["AWS_ENDPOINT_URL"]
    assert laptop.boto("sts").get_caller_identity()["Account"] == "000000000000"


def test_a_pattern_that_does_not_exist_gets_the_list_of_those_that_do(laptop: Laptop) -> None:
    # GIVEN a mistyped pattern
    # WHEN it is deployed, and invoked
    deployed = laptop.sandbox("deploy", "realtme", check=False)
    invoked = laptop.client("invoke", "realtme", check=False)

    # THEN both say what there is
    assert_refused(deployed, "realtme", "realtime")
    assert_refused(invoked, "realtme")


def test_mistakes_in_the_configuration_are_told_together(editing: Laptop) -> None:
    # GIVEN a wrong key, a wrong type and a wrong value
    def spoil(settings: dict) -> None:  # type: ignore[type-arg]
        realtime = settings["patterns"]["realtime"]
        realtime["endpoint"]["instance_typ"] = realtime["endpoint"].pop("instance_type")
        realtime["scaling"]["max_instances"] = "two"
        realtime["data_capture"]["sampling_percentage"] = 101

    editing.configure(spoil)

    # WHEN it is deployed
    done = editing.sandbox("deploy", "realtime", check=False)

    # THEN one message has all three, with the file and the paths
    assert_refused(
        done,
        "dev.yaml",
        "patterns.realtime.endpoint.instance_typ",
        "patterns.realtime.scaling.max_instances",
        "patterns.realtime.data_capture.sampling_percentage",
    )


def test_a_model_directory_without_its_program_is_refused_before_anything_is_deployed(
    editing: Laptop,
) -> None:
    # GIVEN a model directory from which inference.py is missing
    (editing.model / "inference.py").unlink()

    # WHEN it is deployed
    done = editing.sandbox("deploy", "realtime", check=False)

    # THEN the file and the directory are named
    assert_refused(done, "inference.py", "sentiment")


def test_a_model_that_never_answers_ping_is_rolled_back_with_the_services_words(changing: Laptop) -> None:
    # GIVEN a model that never finishes loading
    changing.change_model("def model_fn(model_dir):\n    import time\n\n    time.sleep(3600)")
    endpoint = changing.outputs()["EndpointName"]
    servers = {process.pid for process in changing.model_servers(endpoint)}

    # WHEN it is deployed
    done = changing.sandbox("deploy", "realtime", check=False)

    # THEN the update fails with the service's reason, the old model serves, no process of the new one is left
    assert_refused(done, "did not pass the ping health check")
    stack = changing.boto("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert invoke(changing.boto("sagemaker-runtime"), changing.outputs()["EndpointName"])
    assert {process.pid for process in changing.model_servers(endpoint)} <= servers


def test_a_first_deployment_that_fails_leaves_nothing_and_can_be_repeated_when_it_is_mended(
    fresh: Laptop,
) -> None:
    # GIVEN a new sandbox and a model that raises on load
    fresh.sandbox("up", "--port", str(free_port()), "--time-scale", "60")
    try:
        fresh.change_model(BROKEN_ON_LOAD)

        # WHEN it is deployed, mended, and deployed again
        failed = fresh.sandbox("deploy", "realtime", check=False)
        servers = fresh.model_servers()
        endpoints = fresh.boto("sagemaker").list_endpoints()["Endpoints"]
        fresh.restore()
        fresh.sandbox("deploy", "realtime")

        # THEN the first said why and left no process and no endpoint, and the second answers
        assert_refused(failed, "corrupt")
        assert not servers
        assert not endpoints
        assert invoke(fresh.boto("sagemaker-runtime"), fresh.outputs()["EndpointName"])
    finally:
        fresh.close()
        fresh.sandbox("down")


def test_an_interrupted_deployment_can_be_started_again(laptop: Laptop) -> None:
    # GIVEN a deployment that is interrupted half-way
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "deploy", "realtime"],
        cwd=laptop.project,
        env={**os.environ, "SANDBOX_HOME": str(laptop.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "deploying..." in line or "synth" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=120)

    # WHEN it is started again
    again = laptop.sandbox("deploy", "realtime")

    # THEN the interruption left no CDK CLI behind, showed no traceback, and the pattern is there
    assert process.returncode not in (0, None)
    assert "Traceback" not in rest
    assert not strangers(laptop)
    assert again.returncode == 0
    assert invoke(laptop.boto("sagemaker-runtime"), laptop.outputs()["EndpointName"])


def strangers(laptop: Laptop) -> list[psutil.Process]:
    """Processes that work in this laptop's folders and are not its sandbox's: a CDK CLI left behind."""
    ours = {row["pid"] for row in json.loads(laptop.sandbox("status", "--json").stdout)["processes"]}
    folder = str(laptop.project.parent)
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.pid not in ours and folder in " ".join(process.info["cmdline"] or [])
    ]
