"""What the CDK CLI finds in place of docker: the commands that it calls, and what it is told."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from sandbox.functions import docker
from sandbox.functions.images import ImageStore
from tests.sandbox_functions.function_world import DOCKERFILE, Context

URI = "000000000000.dkr.ecr.ap-northeast-2.amazonaws.com/assets:abc"


@pytest.fixture
def run(store: ImageStore, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> docker.Shim:
    context.write({"app.py": "def handler(event, context): return event", "Dockerfile": DOCKERFILE})
    monkeypatch.chdir(context.folder)
    return docker.Shim(store, "http://127.0.0.1:1")


def test_an_image_is_built_once_and_found_again(
    run: docker.Shim, store: ImageStore, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN nothing; the CLI asks whether the image is there
    assert run.run(["inspect", "cdkasset-1"]) == 1

    # WHEN it builds it with all of its words
    words = "--build-arg A=1 --tag cdkasset-1 --file Dockerfile --platform linux/arm64 --network host"
    assert run.run(["build", *words.split(), "--cache-from", "type=gha", "--no-cache", "."]) == 0

    # THEN it is there, for the wanted platform
    capsys.readouterr()
    assert run.run(["inspect", "cdkasset-1"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["Config"]["platform"] == "linux/arm64"

    # AND later edits of the project change nothing in it
    image = store.named("cdkasset-1")
    assert image is not None
    context.write({"app.py": "changed"})
    assert (image.root / "var/task/app.py").read_text() == "def handler(event, context): return event"


def test_the_same_files_make_the_same_image_and_others_another(
    run: docker.Shim, store: ImageStore, context: Context
) -> None:
    # GIVEN an image
    run.run(["build", "--tag", "one", "."])

    # WHEN the same is built again, and then something else
    run.run(["build", "--tag", "two", "."])
    context.write({"app.py": "def handler(event, context): return 2"})
    run.run(["build", "--tag", "three", "."])

    # THEN the digest tells
    images = [store.named(name) for name in ("one", "two", "three")]
    one, two, three = (image.digest for image in images if image)
    assert one == two != three
    # AND no half-made folder is left
    assert {path.name.partition("-")[0] for path in store.work_dir().parent.iterdir()} == {
        "sha256",
        "names",
        "build",
    }


def test_tags_are_names_of_the_same_image(
    run: docker.Shim, store: ImageStore, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN a built image
    run.run(["build", "-t", "cdkasset-1", "."])

    # WHEN it is tagged for ECR
    run.run(["tag", "cdkasset-1", URI])

    # THEN both names mean it, and the CLI can look for it by its tag
    one, two = store.named("cdkasset-1"), store.named(URI)
    assert one is not None
    assert one == two
    capsys.readouterr()
    run.run(["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=*/*:abc"])
    assert capsys.readouterr().out.split() == [URI]


def test_login_takes_the_password_and_does_nothing(run: docker.Shim, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a password on standard input
    password = io.StringIO("token")
    monkeypatch.setattr(sys, "stdin", password)

    # WHEN the CLI logs in; THEN all of it is read, so that it does not fail in writing
    assert run.run(["login", "--username", "AWS", "--password-stdin", "https://registry"]) == 0
    assert password.read() == ""


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["run", "image"], "cannot do this: docker run image"),
        (["build", "--secret", "id=a,src=b", "--tag", "x", "."], "docker build with --secret"),
        (["build", "--build-context", "other=..", "--tag", "x", "."], "docker build with --build-context"),
        (["build", "--tag", "x", "--file", "Other", "."], "The Dockerfile Other cannot be read"),
        (["build", "--tag"], "expected one argument"),
        (["tag", "nothing", URI], "There is no image named nothing here"),
        (["push", URI], "There is no image named"),
        ([], "cannot do this"),
    ],
)
def test_what_it_cannot_do_is_told(run: docker.Shim, words: list[str], reason: str) -> None:
    # GIVEN a command that only docker knows
    # WHEN it is called; THEN the reason is one message
    with pytest.raises(docker.Refused, match=reason):
        run.run(words)


def test_an_image_for_another_registry_is_not_pushed(run: docker.Shim) -> None:
    # GIVEN an image with a name of a registry in the internet
    run.run(["build", "--tag", "docker.io/someone/app:1", "."])

    # WHEN it is pushed; THEN nothing leaves this machine
    with pytest.raises(docker.Refused, match="not an image of ECR"):
        run.run(["push", "docker.io/someone/app:1"])


def test_a_refusal_ends_the_command_without_a_traceback(
    run: docker.Shim, store: ImageStore, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN a Dockerfile that cannot be laid out
    context.write({"Dockerfile": "FROM ubuntu:24.04\nRUN apt-get install -y git\n"})

    # WHEN the CLI builds it
    folder = str(store.work_dir().parent)
    status = docker.main(["--store", folder, "--gateway", "http://127.0.0.1:1", "build", "--tag", "x", "."])

    # THEN it fails, with a status that is not "no such image", and every finding is told
    told = capsys.readouterr().err
    assert status == 2
    assert "line 1: FROM ubuntu:24.04" in told
    assert "line 2: RUN needs docker: apt-get install -y git installs packages of the system" in told
    assert "Traceback" not in told
