"""How the CDK CLI is called, with a CLI of the test's own in its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox import cdk
from sandbox.cdk import Cdk
from sandbox.errors import SandboxError
from sandbox.functions.images import ImageStore
from sandbox.home import Home, State

STATE = State(1, 0.0, 24566, 24567, time_scale=1.0, max_model_servers=1, started="")

FAKE_CLI = f"""#!{sys.executable}
import json, os, pathlib, sys
home = pathlib.Path(os.environ["HOME"]).parent
with (home / "calls.jsonl").open("a") as calls:
    json.dump({{"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}}, calls)
    calls.write("\\n")
if sys.argv[1] == "synth":
    (home / "cdk.out").mkdir(exist_ok=True)
    stacks = {{"Shop": "shop", "Search": "search", "Plain": None}}
    artifacts = {{
        name: {{
            "type": "aws:cloudformation:stack",
            "properties": {{"tags": {{"sagemaker-serving:pattern": pattern}} if pattern else {{}}}},
        }}
        for name, pattern in stacks.items()
    }}
    artifacts["Tree"] = {{"type": "cdk:tree", "properties": {{"file": "tree.json"}}}}
    (home / "cdk.out" / "manifest.json").write_text(json.dumps({{"artifacts": artifacts}}))
sys.exit(int((home / "status").read_text()) if (home / "status").exists() else 0)
"""


class Calls:
    """A project with a CDK CLI that notes its calls."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "sandbox")
        self.home.make()
        self.home.bootstrapped_file.touch()
        self.project = folder / "project"
        self.project.mkdir()
        (self.project / "cdk.json").write_text("{}")
        self.told: list[str] = []

    @property
    def made(self) -> list[dict[str, Any]]:
        file = self.home.path / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def commands(self) -> list[str]:
        return [call["arguments"][0] for call in self.made]

    def cdk(self) -> Cdk:
        return Cdk(self.home, STATE, self.project, self.told.append)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    prefix = tmp_path / "venv"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "cdk").write_text(FAKE_CLI)
    (prefix / "bin" / "cdk").chmod(0o755)
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("CDK_DEFAULT_ACCOUNT", "123456789012")
    return Calls(tmp_path)


def test_a_pattern_is_synthesised_and_its_stack_deployed(calls: Calls) -> None:
    # GIVEN an app with several patterns
    # WHEN one is deployed
    calls.cdk().deploy(["search"], ["env=prod", "a=b=c"])

    # THEN the CLI synthesises in the project with the context, and deploys that stack from the assembly
    synth, deploy = (call["arguments"] for call in calls.made)
    assert synth[:3] == ["synth", "--quiet", f"--output={calls.home.assembly}"]
    # AND the app is told that it need not make the others
    assert synth[3:9] == ["--context", "env=prod", "--context", "a=b=c", "--context", "only=search"]
    assert deploy[:2] == ["deploy", "Search"]
    assert f"--app={calls.home.assembly}" in deploy
    assert "--require-approval=never" in deploy
    assert {call["folder"] for call in calls.made} == {str(calls.project)}


def test_the_cli_knows_nothing_of_the_developer(calls: Calls) -> None:
    # GIVEN a developer with a real account in the environment
    # WHEN a pattern is deployed
    calls.cdk().deploy(["shop"], [])

    # THEN the CLI has a home of its own and the sandbox's account only
    for call in calls.made:
        environment = call["environment"]
        assert "AWS_PROFILE" not in environment
        assert "CDK_DEFAULT_ACCOUNT" not in environment
        assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:24566"
        for name in ("HOME", "CDK_HOME", "TMPDIR", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            assert Path(environment[name]).is_relative_to(calls.home.path)


def test_patterns_that_are_not_there_are_told_with_those_that_are(calls: Calls) -> None:
    # GIVEN an app with two patterns, and a stack that is none
    # WHEN others are asked for
    with pytest.raises(SandboxError) as refused:
        calls.cdk().deploy(["shop", "nosuch", "Plain"], [])

    # THEN all wrong ones are named, the right ones are listed, and nothing was deployed
    assert str(refused.value) == "The app has no patterns nosuch, Plain. Patterns in it: search, shop."
    assert calls.commands == ["synth"]


def test_a_command_that_fails_is_one_message(calls: Calls) -> None:
    # GIVEN a CLI that fails
    (calls.home.path / "status").write_text("3")

    # WHEN a pattern is deployed
    with pytest.raises(SandboxError, match="cdk synth ended with status 3; its own words are above"):
        calls.cdk().deploy(["shop"], [])

    # THEN it goes no further
    assert calls.commands == ["synth"]


def test_what_was_deployed_last_can_be_destroyed_without_another_synthesis(calls: Calls) -> None:
    # GIVEN a deployed pattern
    calls.cdk().deploy(["shop"], [])

    # WHEN it is destroyed
    calls.cdk().destroy(["shop", "shop"])

    # THEN the assembly that is there says which stack that is, and the CLI does not ask
    destroy = calls.made[-1]["arguments"]
    assert calls.commands == ["synth", "deploy", "destroy"]
    assert [word for word in destroy if not word.startswith("--")] == ["destroy", "Shop"]
    assert "--force" in destroy


def test_a_pattern_that_was_not_deployed_is_looked_up_to_be_destroyed(calls: Calls) -> None:
    # GIVEN a new sandbox
    # WHEN a pattern is destroyed
    calls.cdk().destroy(["shop"])

    # THEN the app is synthesised to find its stack
    assert calls.commands == ["synth", "destroy"]


def test_a_new_sandbox_is_bootstrapped_once_with_the_clis_template(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a sandbox that was never bootstrapped
    calls.home.bootstrapped_file.unlink()
    package = tmp_path / "node_modules" / "aws-cdk"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"version": "1"}')
    cli = Path(sys.prefix) / "bin" / "cdk"
    template = "print('Resources: {}'); sys.exit()"
    cli.write_text(
        FAKE_CLI.replace("if sys.argv[1] ==", f"if sys.argv[1] == 'bootstrap': {template}\nif sys.argv[1] ==")
    )
    monkeypatch.setattr(cdk, "CACHE", tmp_path / "cache")
    made: list[tuple[str, str]] = []
    monkeypatch.setattr(cdk, "bootstrap", lambda url, body: made.append((url, body)))

    # WHEN patterns are deployed, also into the next sandbox
    calls.cdk().deploy(["shop"], [])
    calls.cdk().deploy(["search"], [])
    calls.home.bootstrapped_file.unlink()
    calls.cdk().deploy(["shop"], [])

    # THEN each sandbox was bootstrapped once, and the CLI was asked for its template once
    assert made == [("http://127.0.0.1:24566", "Resources: {}\n")] * 2
    assert calls.commands.count("bootstrap") == 1
    assert calls.commands.count("deploy") == 3


def test_images_are_laid_out_in_place_of_docker(calls: Calls, tmp_path: Path) -> None:
    # GIVEN a pattern whose image is built from a Dockerfile
    calls.cdk().deploy(["shop"], [])
    docker = calls.made[-1]["environment"]["CDK_DOCKER"]
    context = tmp_path / "context"
    context.mkdir()
    (context / "app.py").write_text("def handler(event, context): return event\n")
    (context / "Dockerfile").write_text(
        'FROM public.ecr.aws/lambda/python:3.12\nCOPY app.py ./\nCMD ["app.handler"]\n'
    )

    # WHEN the CLI builds it
    build = subprocess.run(
        [docker, "build", "--tag", "x", "."], cwd=context, capture_output=True, text=True, check=False
    )

    # THEN there is an image of that name, in the sandbox's own folder
    assert build.returncode == 0, build.stderr
    image = ImageStore(calls.home.image_dir).named("x")
    assert image is not None
    assert image.root.joinpath("var/task/app.py").is_file()
    assert not context.joinpath("app.py").samefile(image.root / "var/task/app.py")


def test_a_folder_without_an_app_and_a_missing_cli_are_told(calls: Calls, tmp_path: Path) -> None:
    # GIVEN a folder without cdk.json, or an environment without the CLI
    (Path(sys.prefix) / "bin" / "cdk").unlink()

    # WHEN a pattern is to be deployed
    # THEN it says what is missing and what to do
    with pytest.raises(SandboxError, match="no CDK app here"):
        Cdk(calls.home, STATE, tmp_path, calls.told.append)
    with pytest.raises(SandboxError, match="make setup"):
        calls.cdk()
