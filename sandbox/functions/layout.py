"""Lays out what an image holds, by the COPY lines of its Dockerfile and without running anything."""

from __future__ import annotations

import compileall
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement

from sandbox.functions import commands
from sandbox.functions.dockerfile import (
    DockerfileError,
    Instruction,
    Stage,
    assignments,
    declared,
    expand,
    parse,
)
from sandbox.functions.files import ImageFiles, Refused, check_links, inside, matching
from sandbox.functions.images import ImageConfig
from sandbox.functions.packages import differences

TASK_ROOT = "/var/task"
_LAMBDA_BASE = re.compile(
    r"(?:public\.ecr\.aws/lambda/python|(?:docker\.io/)?amazon/aws-lambda-python)(?=[:@]|\Z)"
)
_PYTHON_BASE = re.compile(
    r"(?:(?:public\.ecr\.aws/docker/library|docker\.io/library|docker\.io)/)?python(?=[:@]|\Z)"
)
_VERSION = re.compile(r":(?P<version>3(?:\.\d+)?)")
_COPY_FLAGS = {"from", "chown", "chmod", "link", "parents", "exclude"}
# the base image's own variables that Dockerfiles use
_LAMBDA_ENVIRONMENT = {
    "LAMBDA_TASK_ROOT": TASK_ROOT,
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "LANG": "en_US.UTF-8",
    "TZ": ":/etc/localtime",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/opt/lib",
}
_ENTRYPOINTS: list[list[str]] = [[], ["/lambda-entrypoint.sh"]]
"""Entry points that lead to AWS's runtime interface client; here there is one in its place."""


@dataclass
class _Laid:
    """A stage that is laid out.

    Args:
        stage: Its text.
        files: Its files.
        config: What the image of this stage would be.
        is_lambda: It comes from one of Lambda's base images.
        packages: Folders that ``pip install --target`` filled; this environment has what is in them.
        unknown: Commands that did not run, with their lines.
        compiled: Byte code was wanted.
    """

    stage: Stage
    files: ImageFiles
    config: ImageConfig
    is_lambda: bool
    packages: set[PurePosixPath] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    compiled: bool = False


@dataclass(frozen=True)
class Layout:
    """An image that is laid out.

    Args:
        root: Its files, by their absolute paths below this folder.
        config: How it starts.
        notes: What is different from a build by docker, for people.
    """

    root: Path
    config: ImageConfig
    notes: list[str]


def lay_out(
    context: Path,
    text: str,
    work: Path,
    *,
    build_arguments: Mapping[str, str],
    target: str | None = None,
    platform: str = "linux/amd64",
) -> Layout:
    """Lay out the image of a Dockerfile.

    Args:
        context: The build context. Nothing outside of it is read.
        text: The Dockerfile.
        work: An empty folder for the stages.
        build_arguments: Of ``--build-arg``.
        target: Name of the stage to stop at; the last one when None.
        platform: What the image is for, for example ``linux/arm64``.

    Raises:
        DockerfileError: It needs what cannot be had without docker; all findings, each with its line.
    """
    dockerfile = parse(text, build_arguments)
    builder = _Builder(context.resolve(), work, dict(build_arguments), platform)
    stages = list(dockerfile.stages)
    if target is not None:
        names = [stage.name for stage in stages]
        if target.lower() not in names:
            raise DockerfileError(f"there is no stage {target}, which --target names")
        stages = stages[: names.index(target.lower()) + 1]
    needed = _needed(stages)
    for number, stage in enumerate(stages):
        if number in needed:
            builder.lay_out(stage, number, dockerfile.arguments, is_last=number == len(stages) - 1)
    return builder.finish()


def _needed(stages: list[Stage]) -> set[int]:
    """Stages that the last one takes something from, as BuildKit builds no others."""
    numbers = {stage.name: number for number, stage in enumerate(stages) if stage.name}
    numbers |= {str(number): number for number in range(len(stages))}
    found, waiting = set(), [len(stages) - 1]
    while waiting:
        number = waiting.pop()
        if number in found:
            continue
        found.add(number)
        wanted = [stages[number].base.lower()]
        wanted += [each.flags.get("from", "").lower() for each in stages[number].instructions]
        waiting += [numbers[name] for name in wanted if name in numbers and numbers[name] < number]
    return found


class _Builder:
    def __init__(self, context: Path, work: Path, arguments: dict[str, str], platform: str) -> None:
        self._context = context
        self._work = work
        self._arguments = arguments
        self._platform = platform
        self._stages: dict[str, _Laid] = {}
        self._last: _Laid | None = None
        self._findings: list[str] = []
        self._notes: list[str] = []

    def lay_out(self, stage: Stage, number: int, arguments: dict[str, str], *, is_last: bool) -> None:
        laid = self._begin(stage, number, is_last=is_last)
        # ARG before the first FROM counts in a stage only where it is declared again
        variables: dict[str, str] = {}
        for instruction in stage.instructions:
            known = variables | laid.config.environment
            try:
                if instruction.keyword == "ARG":
                    variables |= {
                        name: value or arguments.get(name, "")
                        for name, value in declared(instruction, known, self._arguments)
                    }
                    continue
                self._apply(instruction, laid, known, is_last=is_last)
            except (Refused, ValueError) as refused:
                self._findings.append(f"line {instruction.line}: {refused}")
        self._stages[str(number)] = laid
        if stage.name:
            self._stages[stage.name] = laid
        self._last = laid

    def finish(self) -> Layout:
        """The last stage as an image.

        Raises:
            DockerfileError: Something was found.
        """
        laid = self._last
        if laid is not None and not laid.is_lambda and not self._findings:
            self._findings.append(
                f"line {laid.stage.line}: FROM {laid.stage.base}: the sandbox runs images on "
                "AWS's base images for Python functions only (public.ecr.aws/lambda/python:3.x)"
            )
        if self._findings or laid is None:
            raise DockerfileError("\n".join(self._findings))
        laid.files.real(PurePosixPath(TASK_ROOT)).mkdir(parents=True, exist_ok=True)
        if laid.compiled:
            compileall.compile_dir(laid.files.root, quiet=2)
        return Layout(laid.files.root, laid.config, self._notes)

    def _begin(self, stage: Stage, number: int, *, is_last: bool) -> _Laid:
        root = self._work / f"stage-{number}"
        earlier = self._stages.get(stage.base.lower())
        if earlier is not None:
            shutil.copytree(earlier.files.root, root, symlinks=True)
            return _Laid(
                stage,
                ImageFiles(root),
                earlier.config.copy(),
                earlier.is_lambda,
                set(earlier.packages),
                list(earlier.unknown),
            )
        root.mkdir(parents=True)
        is_lambda = _LAMBDA_BASE.match(stage.base) is not None
        if not is_lambda and (is_last or _PYTHON_BASE.match(stage.base) is None):
            self._findings.append(
                f"line {stage.line}: FROM {stage.base}: the sandbox knows AWS's base images for Python "
                "functions (public.ecr.aws/lambda/python:3.x), and python:3.x for stages before the last"
            )
        version = _VERSION.search(stage.base)
        config = ImageConfig(
            base=stage.base,
            platform=self._platform,
            python=version["version"] if version else "",
            environment=dict(_LAMBDA_ENVIRONMENT) if is_lambda else {},
            work_dir=TASK_ROOT if is_lambda else "/",
        )
        return _Laid(stage, ImageFiles(root), config, is_lambda)

    def _apply(
        self, instruction: Instruction, laid: _Laid, known: Mapping[str, str], *, is_last: bool
    ) -> None:
        config, rest = laid.config, instruction.rest
        match instruction.keyword:
            case "ENV":
                config.environment |= assignments(instruction, known)
            case "LABEL":
                config.labels |= assignments(instruction, known)
            case "WORKDIR":
                config.work_dir = str(inside(expand(rest, known), config.work_dir))
                laid.files.real(PurePosixPath(config.work_dir)).mkdir(parents=True, exist_ok=True)
            case "COPY" | "ADD":
                self._copy(instruction, laid, known)
            case "RUN":
                self._run(instruction, laid, known, is_last=is_last)
            case "CMD":
                config.command = _exec_form(instruction)
            case "ENTRYPOINT":
                config.entry_point = _exec_form(instruction)
                if not _is_runtime_client(config.entry_point):
                    raise Refused(
                        f"ENTRYPOINT {rest}: the sandbox starts handlers with a runtime interface client of "
                        "its own and no other program; leave ENTRYPOINT out, and name the handler in CMD"
                    )
            case "ONBUILD" | "SHELL":
                raise Refused(f"{instruction.keyword} is not known to the sandbox")
            case (
                keyword
            ):  # USER, EXPOSE, VOLUME, HEALTHCHECK, STOPSIGNAL, MAINTAINER: Lambda heeds none either
                self._notes.append(f"line {instruction.line}: {keyword} makes no difference here")

    def _copy(self, instruction: Instruction, laid: _Laid, known: Mapping[str, str]) -> None:
        keyword = instruction.keyword
        unknown = instruction.flags.keys() - _COPY_FLAGS
        if unknown or {"parents", "exclude"} & instruction.flags.keys():
            raise Refused(f"{keyword} with --{', --'.join(instruction.flags)} is not known to the sandbox")
        *sources, target = [expand(path, known) for path in instruction.paths] or [""]
        if not sources:
            raise Refused(f"{keyword} needs a source and a destination")
        if len(sources) > 1 and not target.endswith("/"):
            raise Refused(f"{keyword} of several sources: the destination {target} must end with /")
        origin = instruction.flags.get("from")
        for source in sources:
            if origin is not None:
                self._copy_from_stage(source, target, origin.lower(), laid, keyword)
                continue
            if keyword == "ADD" and re.match(r"(https?|git|ssh)[:@]", source):
                raise Refused(f"ADD {source}: the sandbox downloads nothing; put the file into the context")
            found = matching(self._context, source)
            if not found:
                raise Refused(f"{keyword} {source}: not found in the build context")
            if keyword == "ADD" and any(re.search(r"\.(tar|tgz|tar\.\w+)\Z", path.name) for path in found):
                raise Refused(
                    f"ADD {source}: the sandbox unpacks no archives; put the files into the context"
                )
            if len(found) > 1 and not target.endswith("/"):
                raise Refused(
                    f"{keyword} {source}: several files match, the destination {target} must end with /"
                )
            for path in found:
                check_links(path, self._context)
                laid.files.place(path, target, laid.config.work_dir)

    def _copy_from_stage(self, source: str, target: str, origin: str, laid: _Laid, keyword: str) -> None:
        stage = self._stages.get(origin)
        if stage is None:
            raise Refused(
                f"{keyword} --from={origin}: there is no such stage before; images are not downloaded"
            )
        path = (
            PurePosixPath("/") / source.rstrip("*") if source.endswith("/*") else PurePosixPath("/") / source
        )
        if any(path == folder or folder in path.parents for folder in stage.packages):
            if stage.files.real(path).is_dir():
                laid.files.place(stage.files.real(path), target, laid.config.work_dir)
            return  # packages, which this environment has
        found = matching(stage.files.root, str(path))
        if not found:
            why = f"; made by what does not run here: {'; '.join(stage.unknown)}" if stage.unknown else ""
            raise Refused(f"{keyword} --from={origin} {source}: not there{why}")
        for each in found:
            laid.files.place(each, target, laid.config.work_dir)

    def _run(self, instruction: Instruction, laid: _Laid, known: Mapping[str, str], *, is_last: bool) -> None:
        # the shell's own variables stay as they are: nothing is run
        text = expand(instruction.rest, known)
        effects = commands.effects(instruction.words, text)
        laid.compiled = laid.compiled or effects.compiled
        for install in effects.installs:
            self._install(instruction, install, laid)
        unknown = [f"line {instruction.line}: RUN {reason}" for reason in effects.unknown]
        laid.unknown += unknown
        if is_last and unknown:
            raise Refused(
                "RUN needs docker: "
                + "; ".join(effects.unknown)
                + ". The sandbox knows pip install, compileall and "
                "commands that tidy up; make such files before, and COPY them"
            )

    def _install(self, instruction: Instruction, install: commands.Install, laid: _Laid) -> None:
        lines = list(install.packages)
        for name in install.files:
            file = laid.files.real(inside(name, laid.config.work_dir))
            if not file.is_file():
                raise Refused(f"RUN pip install -r {name}: there is no such file in the image")
            lines += file.read_text("utf-8", "replace").splitlines()
        try:
            missing, other = differences(lines)
        except InvalidRequirement as error:
            raise Refused(f"RUN pip install: {error}") from None
        if missing:
            raise Refused(
                f"RUN pip install: {', '.join(missing)} not installed in the sandbox's environment, "
                "which runs the function. Install: python -m pip install "
                + " ".join(repr(line) for line in missing)
            )
        self._notes += [f"line {instruction.line}: {text}" for text in other]
        if install.target:
            laid.packages.add(inside(install.target, laid.config.work_dir))


def _exec_form(instruction: Instruction) -> list[str]:
    if instruction.words is not None:
        return instruction.words
    raise Refused(
        f'{instruction.keyword} {instruction.rest}: write it as a list, such as ["app.handler"]; '
        "through a shell Lambda does not find the handler"
    )


def _is_runtime_client(entry_point: list[str]) -> bool:
    words = [PurePosixPath(word).name if number == 0 else word for number, word in enumerate(entry_point)]
    return entry_point in _ENTRYPOINTS or words in (
        ["python", "-m", "awslambdaric"],
        ["python3", "-m", "awslambdaric"],
    )
