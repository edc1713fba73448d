"""Fleets start, scale, drain, stop, and say why when they cannot."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
import uvloop

from sandbox.clock import Clock
from sandbox.errors import ServiceError
from sandbox.fleet import Fleet, FleetFailed, FleetStopped, Instance
from sandbox.fleet import instances as instances_module
from tests.sandbox_fleet.world import ECHO, IMAGE, SCOPE, World, alive, create, record, until


def pids(fleet: Fleet) -> list[int]:
    return [container.pid for instance in fleet.instances for container in instance.containers]


async def invoke(instance: Instance, body: bytes = b"{}", container: int = 0) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        url = f"{instance.containers[container].url}/invocations"
        return await client.post(url, content=body, headers={"content-type": "application/json"})


def test_a_fleet_serves_and_leaves_nothing(world: World) -> None:
    async def scenario() -> None:
        async with world.manager() as manager:
            # WHEN two instances are started
            fleet = create(manager, world.model(ECHO))
            await fleet.start(2)
            # THEN both are healthy processes of their own that answer
            assert [instance.state for instance in fleet.in_service()] == ["InService"] * 2
            assert all(len(i.id) == 19 and i.id.startswith("i-") for i in fleet.instances)
            started = pids(fleet)
            assert len(set(started)) == 2
            for instance in fleet.in_service():
                assert (await invoke(instance, b'{"a": 1}')).content == b'{"a": 1}'
            assert [server.pid for server in manager.processes()] == started
            # AND the artifact was fetched once
            assert world.aws.s3.fetched == ["model-0.tar.gz"]
            # WHEN the fleet is stopped, THEN processes and files are gone
            await fleet.stop()
            assert not any(alive(pid) for pid in started)
            assert manager.processes() == []
            assert list((world.tmp_path / "work" / "instances").iterdir()) == []

    uvloop.run(scenario())


def test_stopping_the_manager_ends_every_fleet(world: World) -> None:
    async def scenario() -> list[int]:
        async with world.manager() as manager:
            fleet = create(manager, world.model(ECHO))
            await fleet.start(2)
            return pids(fleet)

    assert not any(alive(pid) for pid in uvloop.run(scenario()))


def test_deployed_images_name_what_runs(world: World) -> None:
    async def scenario() -> None:
        async with world.manager() as manager:
            (image,) = create(manager, world.model(ECHO)).deployed_images
            assert image["SpecifiedImage"] == IMAGE
            repository, digest = image["ResolvedImage"].split("@")
            assert repository == IMAGE.rpartition(":")[0]
            assert len(digest) == len("sha256:") + 64

    uvloop.run(scenario())


def test_the_process_gets_the_containers_environment_and_nothing_of_the_developers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("MY_TOKEN", "secret")
    code = """
import json, os
def predict_fn(data, model): return json.dumps(dict(os.environ))
"""

    async def scenario() -> dict[str, str]:
        model = world.model(ECHO + code)
        model.request["PrimaryContainer"]["Environment"] = {
            "THRESHOLD": "0.5",
            "LABELS": "/opt/ml/model/labels.txt",
            "OMP_NUM_THREADS": "2",
            "SAGEMAKER_BIND_TO_PORT": "80",
        }
        async with world.fleet(model) as fleet:
            (instance,) = fleet.instances
            answer: dict[str, str] = (await invoke(instance)).json()
            assert answer["SAGEMAKER_BIND_TO_PORT"] == str(instance.containers[0].port)
            root = str(instance.root)
            for name in ("HOME", "TMPDIR", "SAGEMAKER_BASE_DIR", "SM_MODEL_DIR", "LABELS"):
                assert answer[name].startswith(root), name
            return answer

    environment = uvloop.run(scenario())
    assert "AWS_PROFILE" not in environment
    assert "MY_TOKEN" not in environment
    assert environment["LABELS"].endswith("/opt/ml/model/labels.txt")
    assert (environment["THRESHOLD"], environment["OMP_NUM_THREADS"]) == ("0.5", "2")
    assert environment["AWS_ACCESS_KEY_ID"] == SCOPE.account
    assert environment["AWS_ENDPOINT_URL"] == world.aws.gateway_url


def test_network_isolation_takes_credentials_and_network_away(world: World) -> None:
    code = """
import os, socket
def aws(): return [name for name in os.environ if name.startswith("AWS_") and "REGION" not in name]
def predict_fn(data, model):
    try: socket.create_connection(("127.0.0.1", 9), 1)
    except OSError as error: return type(error).__name__ + str(aws())
"""

    async def scenario() -> str:
        async with world.fleet(world.model(ECHO + code, EnableNetworkIsolation=True)) as fleet:
            return (await invoke(fleet.instances[0])).text

    assert uvloop.run(scenario()) == "PermissionError['AWS_EC2_METADATA_DISABLED']"


def test_several_containers_run_on_one_instance_and_log_apart(world: World) -> None:
    codes = [ECHO + f"def predict_fn(data, model): print('from {n}'); return '{n}'" for n in ("a", "b")]

    async def scenario() -> None:
        async with world.fleet(world.model(*codes, InferenceExecutionConfig={"Mode": "Direct"})) as fleet:
            (instance,) = fleet.instances
            assert [container.hostname for container in instance.containers] == ["host-0", "host-1"]
            assert [(await invoke(instance, container=at)).text for at in (0, 1)] == ["a", "b"]
            group = "/aws/sagemaker/Endpoints/reviews"
            wanted = {(group, f"AllTraffic/{instance.id}/host-{at}", f"from {'ab'[at]}") for at in (0, 1)}
            await until(lambda: wanted <= set(world.logs.lines))
            assert len(list((world.tmp_path / "work" / "logs" / "reviews").iterdir())) == 2

    uvloop.run(scenario())


def test_what_a_model_prints_reaches_the_log_of_its_instance_and_a_file(world: World) -> None:
    code = "import sys\nprint('안녕', file=sys.stderr)\nprint('x' * 40000)\n"

    async def scenario() -> None:
        async with world.fleet(world.model(code + ECHO)) as fleet:
            stream = f"AllTraffic/{fleet.instances[0].id}"
            await until(lambda: ("/aws/sagemaker/Endpoints/reviews", stream, "안녕") in world.logs.lines)
            await until(lambda: sum(len(m) for _, s, m in world.logs.lines if set(m) == {"x"}) == 40000)
            (file,) = (world.tmp_path / "work" / "logs" / "reviews").iterdir()
            assert "안녕" in file.read_text("utf-8")

    uvloop.run(scenario())


# --- failures of the start ---------------------------------------------------------------------------


async def _failure(world: World, model: Any, count: int = 1, **settings: Any) -> str:
    """The reason of a start that fails, after checking that nothing is left."""
    async with world.manager(**settings) as manager:
        fleet = create(manager, model)
        with pytest.raises(FleetFailed) as caught:
            await fleet.start(count)
        assert fleet.instances == []
        assert manager.processes() == []
        instances = world.tmp_path / "work" / "instances"
        assert not instances.exists() or list(instances.iterdir()) == []
        return caught.value.reason


NOT_HEALTHY = (
    "The primary container for production variant AllTraffic did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)


def test_a_model_that_raises_on_load_fails_at_once_and_says_why(world: World) -> None:
    code = "def model_fn(d):\n    raise ValueError('weights are\\nmissing')\n"
    began = time.monotonic()
    reason = uvloop.run(_failure(world, world.model(code), 2))
    assert reason == f"{NOT_HEALTHY} The model did not load: ValueError: weights are missing"
    assert time.monotonic() - began < instances_module._HEALTH_CHECK_WINDOW / 2
    assert "Traceback (most recent call last)" in world.logs.text()


def test_a_model_that_ends_the_process_says_how(world: World) -> None:
    reason = uvloop.run(_failure(world, world.model("import os; print('bye', flush=True); os._exit(9)")))
    assert reason == f"{NOT_HEALTHY} The model server ended with exit status 9. Last output: bye"


def test_a_model_that_is_killed_says_so(world: World) -> None:
    reason = uvloop.run(_failure(world, world.model("import os; os.kill(os.getpid(), 9)")))
    assert reason == f"{NOT_HEALTHY} The model server was ended by signal 9."


def test_a_model_that_never_answers_ping_fails_when_the_window_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances_module, "_SHORTEST_WINDOW", 0.0)
    code = "import time\ndef model_fn(d):\n    while True: time.sleep(1)\n"
    # the default window of 240 s, 200 times as fast
    assert uvloop.run(_failure(world, world.model(code), clock=Clock(200))) == NOT_HEALTHY


def test_the_container_that_is_not_healthy_is_named(world: World) -> None:
    reason = uvloop.run(_failure(world, world.model(ECHO, "raise OSError(5, 'broken')")))
    assert reason.startswith("The host-1 container for production variant AllTraffic did not pass")
    assert reason.endswith("OSError: [Errno 5] broken")


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (
            {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/cdk-assets:abc"},
            ["cdk-assets", "Dockerfile"],
        ),
        ({"Image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.38.0"}, ["DJL Serving"]),
        ({"Image": IMAGE, "Mode": "MultiModel"}, ["MultiModel"]),
        ({"ModelPackageName": "arn"}, ["Image"]),
        ({"Image": IMAGE}, ["(no model data)", "code/inference.py"]),
        ({"Image": IMAGE, "ModelDataUrl": "https://host/model.tar.gz"}, ["s3:// URIs only"]),
        (
            {"Image": IMAGE, "ModelDataUrl": "s3://bucket/no/model.tar.gz"},
            ["Could not find model data at s3://bucket/no/model.tar.gz."],
        ),
    ],
)
def test_a_container_that_cannot_run_here_says_why(world: World, container: Any, words: list[str]) -> None:
    reason = uvloop.run(_failure(world, record({"PrimaryContainer": container})))
    for word in words:
        assert word in reason


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"model.bin": "x"}, ["has no code/inference.py", "SAGEMAKER_PROGRAM"]),
        ({"inference.py": ECHO}, ["has no code/inference.py", "not in code/: move it"]),
        (
            {
                "code/inference.py": ECHO,
                "code/requirements.txt": "# x\nnumpy>=1\nno-such-package==1\nnumpy<1\n",
            },
            ["asks for no-such-package==1, numpy<1,", "pip install"],
        ),
    ],
)
def test_an_artifact_without_what_the_image_needs_says_so(
    world: World, files: dict[str, str | bytes], words: list[str]
) -> None:
    uri = world.put(files)
    reason = uvloop.run(_failure(world, record({"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": uri}})))
    for word in words:
        assert word in reason


def test_a_program_of_another_name_and_place_runs(world: World) -> None:
    async def scenario() -> None:
        container = {
            "Image": IMAGE,
            "ModelDataUrl": world.put({"src/serve.py": ECHO}),
            "Environment": {"SAGEMAKER_PROGRAM": "serve", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/src"},
        }
        async with world.fleet(record({"PrimaryContainer": container})) as fleet:
            assert (await invoke(fleet.instances[0], b"x")).content == b"x"

    uvloop.run(scenario())


def test_code_may_come_from_an_archive_of_its_own(world: World) -> None:
    async def scenario() -> None:
        code = "import os\ndef predict_fn(data, model): return str(os.listdir(os.environ['SM_MODEL_DIR']))"
        container = {
            "Image": IMAGE,
            "ModelDataUrl": world.put({"weights": "w"}, "m.tar.gz"),
            "Environment": {
                "SAGEMAKER_SUBMIT_DIRECTORY": world.put({"inference.py": ECHO + code}, "sourcedir.tar.gz")
            },
        }
        async with world.fleet(record({"PrimaryContainer": container})) as fleet:
            assert (await invoke(fleet.instances[0])).text == "['weights']"

    uvloop.run(scenario())


def test_the_limit_of_processes_is_told_at_create_and_at_scale(world: World) -> None:
    async def scenario() -> None:
        async with world.manager(max_model_servers=2) as manager:
            model = world.model(ECHO)
            with pytest.raises(ServiceError) as refused:
                create(manager, model, InitialInstanceCount=3)
            assert refused.value.code == "ResourceLimitExceeded"
            assert "is 2 processes" in refused.value.message
            assert "--max-model-servers" in refused.value.message
            fleet = create(manager, model)
            await fleet.start(1)
            (before,) = pids(fleet)
            # WHEN it is to grow beyond the limit, THEN it says so and goes on as it was
            with pytest.raises(FleetFailed, match="--max-model-servers"):
                await fleet.scale_to(3)
            assert pids(fleet) == [before]
            # AND what failed does not count against the limit
            await fleet.scale_to(2)
            assert len(fleet.in_service()) == 2

    uvloop.run(scenario())


def test_a_start_that_is_cancelled_leaves_nothing(world: World) -> None:
    code = "import time\ndef model_fn(d):\n    print('loading', flush=True)\n    while True: time.sleep(1)\n"

    async def scenario() -> None:
        async with world.manager() as manager:
            fleet = create(manager, world.model(code))
            start = asyncio.create_task(fleet.start(2))
            await until(lambda: world.logs.text().count("loading") == 2)
            start.cancel()
            with pytest.raises(asyncio.CancelledError):
                await start
            assert list((world.tmp_path / "work" / "instances").iterdir()) == []

    uvloop.run(scenario())


def test_stop_does_not_wait_for_instances_that_are_starting(world: World) -> None:
    code = "import time\ndef model_fn(d):\n    print('loading', flush=True)\n    while True: time.sleep(1)\n"

    async def scenario() -> None:
        async with world.manager() as manager:
            fleet = create(manager, world.model(code))
            start = asyncio.create_task(fleet.start(1))
            await until(lambda: "loading" in world.logs.text())
            await fleet.stop()
            with pytest.raises(FleetFailed, match="was stopped"):
                await start
            assert manager.processes() == []

    uvloop.run(scenario())


# --- scaling and acquiring ---------------------------------------------------------------------------


def test_scaling_in_lets_invocations_finish(world: World) -> None:
    async def scenario() -> None:
        async with world.fleet(world.model(ECHO), 2) as fleet:
            deadline = asyncio.get_running_loop().time() + 20
            first, second = await fleet.acquire(deadline), await fleet.acquire(deadline)
            assert first is not second  # the one with fewer in flight
            # WHEN one must go while both work
            scaling = asyncio.create_task(fleet.scale_to(1))
            await until(lambda: len(fleet.in_service()) == 1)
            (kept,) = fleet.in_service()
            leaving = first if kept is second else second
            # THEN it gets no new work, and still answers what it has
            assert await fleet.acquire(deadline) is kept
            assert (await invoke(leaving, b"last")).content == b"last"
            assert not scaling.done()
            fleet.release(leaving)
            await scaling
            assert not alive(leaving.containers[0].pid)
            assert fleet.instances == [kept]

    uvloop.run(scenario())


def test_scaling_out_and_to_zero_and_back(world: World) -> None:
    async def scenario() -> None:
        async with world.fleet(world.model(ECHO)) as fleet:
            loop = asyncio.get_running_loop()
            await fleet.scale_to(3)
            assert len(fleet.in_service()) == 3
            await fleet.scale_to(0)
            # WHEN none is in service, THEN a caller waits until its deadline
            with pytest.raises(TimeoutError):
                await fleet.acquire(loop.time() + 0.05)
            # and is served as soon as one comes
            waiting = asyncio.create_task(fleet.acquire(loop.time() + 30))
            await fleet.scale_to(1)
            assert await waiting is fleet.instances[0]

    uvloop.run(scenario())


def test_a_caller_who_waits_for_a_stopped_fleet_is_told_at_once(world: World) -> None:
    async def scenario() -> None:
        async with world.fleet(world.model(ECHO), 0) as fleet:
            waiting = asyncio.create_task(fleet.acquire(asyncio.get_running_loop().time() + 600))
            await asyncio.sleep(0)
            await fleet.stop()
            with pytest.raises(FleetStopped):
                await waiting

    uvloop.run(scenario())
