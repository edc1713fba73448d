"""What the CDK CLI finds in place of docker (CDK_DOCKER): it lays images out instead of building them.

``python -m sandbox.functions.docker --store FOLDER --gateway URL`` and then docker's own words, as the pinned
CDK CLI says them: login, inspect, build, tag, images, push.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sandbox.functions.dockerfile import DockerfileError
from sandbox.functions.images import Image, ImageStore
from sandbox.functions.layout import lay_out

_REPOSITORY = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[^/:]+(?::\d+)?/(?P<name>[^:@]+)(?::(?P<tag>[^:@]+))?"
)
_ORDER = "The sandbox stands in for docker and cannot do this: "


class Refused(Exception):
    """A command cannot be done; the message says why."""


class Shim:
    """docker's commands on an image store.

    Args:
        store: Where images are.
        gateway_url: Where ECR is.
    """

    def __init__(self, store: ImageStore, gateway_url: str) -> None:
        self._store = store
        self._gateway_url = gateway_url

    def run(self, words: Sequence[str]) -> int:
        """Do one command.

        Args:
            words: The command and its arguments.

        Returns:
            The exit status that docker would have.

        Raises:
            Refused: It cannot be done.
        """
        command, *arguments = list(words) or [""]
        if command in {"buildx", "image"}:  # the longer names of the same
            command, *arguments = arguments or [""]
        match command:
            case "build":
                self._build(arguments)
            case "inspect":
                return self._inspect(arguments)
            case "tag":
                self._tag(arguments)
            case "images" | "ls":
                self._list(arguments)
            case "push":
                self._push(arguments)
            case "login":
                if "--password-stdin" in arguments:
                    sys.stdin.read()  # nobody checks it
            case "version" | "--version" | "info":
                print("The sandbox in place of docker: it lays images out and runs nothing.")
            case _:
                raise Refused(f"{_ORDER}docker {' '.join(words)}")
        return 0

    def _build(self, arguments: list[str]) -> None:
        options = _build_options(arguments)
        context = Path(options.context)
        file = Path(options.file) if options.file else context / "Dockerfile"
        if options.file and not file.is_absolute() and not file.is_file():
            file = context / options.file
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"The Dockerfile {file} cannot be read: {error}") from None
        values = dict(each.partition("=")[::2] for each in options.build_arg)
        work = self._store.work_dir()
        try:
            layout = lay_out(
                context,
                text,
                work,
                build_arguments=values,
                target=options.target,
                platform=options.platform,
            )
            image = self._store.add(layout.root, layout.config)
        except DockerfileError as error:
            found = "\n".join(f"  {line}" for line in str(error).splitlines())
            raise Refused(
                f"The sandbox cannot lay out {file.name} of {context.resolve()} without docker:\n{found}\n"
                "On AWS the CDK CLI builds it with docker, where none of this matters."
            ) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
        for name in options.tag:
            self._store.name(name, image)
        here = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if image.config.python and image.config.python != here:
            print(f"[sandbox] the image has Python {image.config.python}, the function runs with {here} here")
        for note in layout.notes:
            print(f"[sandbox] {note}")
        print(f"[sandbox] laid out without docker: {image.digest} ({image.size:,} bytes without packages)")

    def _inspect(self, arguments: list[str]) -> int:
        image = self._store.named(arguments[-1]) if arguments else None
        if image is None:
            print(f"Error: No such object: {arguments[-1] if arguments else ''}", file=sys.stderr)
            return 1
        print(json.dumps([{"Id": image.digest, "Size": image.size, "Config": asdict(image.config)}]))
        return 0

    def _tag(self, arguments: list[str]) -> None:
        if len(arguments) != 2:
            raise Refused(f"{_ORDER}docker tag {' '.join(arguments)}")
        self._store.name(arguments[1], self._named(arguments[0]))

    def _list(self, arguments: list[str]) -> None:
        patterns = [each.partition("reference=")[2] for each in arguments if each.startswith("reference=")]
        for name in self._store.names():
            if all(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                print(name)

    def _push(self, arguments: list[str]) -> None:
        name = arguments[-1] if arguments else ""
        image = self._named(name)
        place = _REPOSITORY.fullmatch(name)
        if place is None:
            raise Refused(f"{_ORDER}push {name}: it is not an image of ECR")
        put_image(self._gateway_url, place, image)
        print(f"{place['tag'] or 'latest'}: digest: {image.digest} size: {len(image.manifest)}")

    def _named(self, name: str) -> Image:
        image = self._store.named(name)
        if image is None:
            raise Refused(f"There is no image named {name} here; it is built first.")
        return image


def put_image(gateway_url: str, place: re.Match[str], image: Image) -> None:
    """Tell ECR of an image.

    Raises:
        Refused: ECR does not take it.
    """
    # boto3 takes long to import, and only a push needs it
    from botocore.exceptions import BotoCoreError, ClientError

    from sandbox.aws import LocalAws
    from sandbox.store import Scope

    client = LocalAws(gateway_url).client("ecr", Scope(place["account"], place["region"]))
    try:
        client.put_image(
            repositoryName=place["name"], imageManifest=image.manifest, imageTag=place["tag"] or "latest"
        )
    except client.exceptions.ImageAlreadyExistsException:
        pass
    except (BotoCoreError, ClientError) as error:
        raise Refused(f"ECR does not take the image: {error}") from None
    finally:
        client.close()


def _build_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("docker build", exit_on_error=False, add_help=False, allow_abbrev=False)
    parser.add_argument("--tag", "-t", action="append", default=[])
    parser.add_argument("--file", "-f")
    parser.add_argument("--platform", default="linux/amd64")
    parser.add_argument("--target")
    parser.add_argument("--build-arg", action="append", default=[])
    # where layers are kept, and which network RUN has: nothing is run here
    for name in ("--cache-from", "--cache-to", "--network", "--progress", "--provenance", "--output"):
        parser.add_argument(name, action="append")
    for name in ("--no-cache", "--pull", "--load", "--quiet"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("context")
    try:
        options, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise Refused(f"{_ORDER}docker build {' '.join(arguments)}: {error}") from None
    if unknown:
        raise Refused(
            f"{_ORDER}docker build with {' '.join(word for word in unknown if word.startswith('-'))}. "
            "Contexts, secrets and agents besides the folder are for AWS deploys only."
        )
    return options


def main(arguments: list[str]) -> int:
    """Do one command; the exit status. A refusal is a message and 2, which the CDK CLI takes as failed."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--config")
    options, words = parser.parse_known_args(arguments)
    try:
        return Shim(ImageStore(options.store), options.gateway).run(words)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
