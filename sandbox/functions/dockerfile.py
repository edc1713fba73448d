"""Reads a Dockerfile into stages of instructions, with variables filled in later (Dockerfile reference)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_KEYWORDS = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip
_DIRECTIVE = re.compile(r"#\s*(?P<name>[a-zA-Z]+)\s*=\s*(?P<value>\S+)\s*")
_FLAG = re.compile(r"--(?P<name>[a-z-]+)(?:=(?P<value>\S*))?(?:\s+|$)")
_VARIABLE = re.compile(
    r"(?P<escaped>\\\$)|\$(?:(?P<plain>\w+)|\{(?P<braced>\w+)(?::(?P<operator>[-+])(?P<word>[^{}]*))?\})"
)
_ASSIGNMENT = re.compile(
    r"""(?P<name>[^\s="']+)=(?P<value>(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])*)""", re.S
)


class DockerfileError(Exception):
    """A Dockerfile cannot be used; the message holds all findings, each with its line."""


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Args:
        line: Where it begins, from 1.
        keyword: In capitals, for example ``COPY``.
        flags: Of ``--name=value``, by name; an empty text without a value.
        rest: What follows, with continued lines joined.
    """

    line: int
    keyword: str
    flags: Mapping[str, str]
    rest: str

    @property
    def words(self) -> list[str] | None:
        """The words of the JSON form ``["a", "b"]``; None if it is not in that form."""
        if not self.rest.startswith("["):
            return None
        try:
            words = json.loads(self.rest)
        except ValueError:
            return None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
        return None

    @property
    def paths(self) -> list[str]:
        """Words of COPY and ADD, in either form."""
        return self.words if self.words is not None else self.rest.split()


@dataclass
class Stage:
    """What a FROM begins.

    Args:
        line: Line of the FROM.
        base: The image, or an earlier stage's name.
        name: Given by ``AS``, in lower case; None without.
        instructions: In order.
    """

    line: int
    base: str
    name: str | None
    instructions: list[Instruction] = field(default_factory=list)


@dataclass(frozen=True)
class Dockerfile:
    """A whole file: arguments declared before the first FROM, and the stages."""

    arguments: dict[str, str]
    stages: list[Stage]


def parse(text: str, build_arguments: Mapping[str, str]) -> Dockerfile:
    """Read a Dockerfile.

    Args:
        text: Its content.
        build_arguments: Of ``--build-arg``; they replace the defaults of ARG.

    Raises:
        DockerfileError: It is not one, or needs what is not known here.
    """
    findings: list[str] = []
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in _instructions(text, findings):
        if instruction.keyword == "FROM":
            _begin(instruction, arguments, stages, findings)
        elif stages:
            stages[-1].instructions.append(instruction)
        elif instruction.keyword == "ARG":
            try:
                arguments |= dict(declared(instruction, arguments, build_arguments))
            except ValueError as error:
                findings.append(f"line {instruction.line}: ARG {instruction.rest}: {error}")
        else:
            findings.append(f"line {instruction.line}: {instruction.keyword} before the first FROM")
    if not stages and not findings:
        findings.append("there is no FROM in it")
    if findings:
        raise DockerfileError("\n".join(findings))
    return Dockerfile(arguments, stages)


def declared(
    instruction: Instruction, variables: Mapping[str, str], build_arguments: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Names and values that an ARG instruction declares."""
    for word in shlex.split(instruction.rest):
        name, _, default = word.partition("=")
        yield name, build_arguments.get(name, expand(default, variables))


def assignments(instruction: Instruction, variables: Mapping[str, str]) -> dict[str, str]:
    """Names and values of ENV and LABEL, in both forms."""
    found = {
        _unquoted(match["name"]): expand(_unquoted(match["value"]), variables)
        for match in _ASSIGNMENT.finditer(instruction.rest)
    }
    first = instruction.rest.split(None, 1)
    if first and "=" not in first[0]:  # the old form: ENV name value with spaces
        return {first[0]: expand(first[1] if len(first) > 1 else "", variables)}
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Fill in ``$name``, ``${name}``, ``${name:-default}`` and ``${name:+alternative}``."""

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        found = variables.get(match["plain"] or match["braced"], "")
        match match["operator"]:
            case "-":
                return found or expand(match["word"], variables)
            case "+":
                return expand(match["word"], variables) if found else ""
        return found

    return _VARIABLE.sub(value, text)


def _begin(
    instruction: Instruction, arguments: Mapping[str, str], stages: list[Stage], findings: list[str]
) -> None:
    words = expand(instruction.rest, arguments).split()
    named = len(words) == 3 and words[1].upper() == "AS"
    if not (len(words) == 1 or named):
        findings.append(f"line {instruction.line}: FROM {instruction.rest}: expected an image, and AS NAME")
        words = words or [""]
    stages.append(Stage(instruction.line, words[0], words[2].lower() if named else None))


def _instructions(text: str, findings: list[str]) -> Iterator[Instruction]:
    for line, joined in _logical_lines(text):
        keyword, _, rest = joined.partition(" ")
        keyword, rest = keyword.upper(), rest.strip()
        if keyword not in _KEYWORDS:
            findings.append(f"line {line}: {keyword} is not an instruction of a Dockerfile")
            continue
        flags: dict[str, str] = {}
        while keyword != "ENTRYPOINT" and keyword != "CMD" and (flag := _FLAG.match(rest)):
            flags[flag["name"]] = flag["value"] or ""
            rest = rest[flag.end() :]
        if re.search(r"<<-?[\"']?\w", rest) and keyword in {"RUN", "COPY", "ADD"}:
            findings.append(f"line {line}: {keyword} with a here-document; put the text into a file")
            return
        yield Instruction(line, keyword, flags, rest)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with continuations joined and comments left out, each with the number of its first."""
    escape, directives = "\\", True
    parts: list[str] = []
    first = 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#"):
            directive = _DIRECTIVE.fullmatch(line) if directives else None
            if directive is None:
                directives = False
            elif directive["name"].lower() == "escape":
                escape = directive["value"]
            continue
        if not line:
            continue  # also between continued lines
        directives = False
        first = first or number
        if line.endswith(escape):
            parts.append(line[:-1].strip())
            continue
        parts.append(line)
        yield first, " ".join(part for part in parts if part)
        parts, first = [], 0
    if parts:
        yield first, " ".join(part for part in parts if part)


def _unquoted(text: str) -> str:
    """Without quotes and backslashes, but for the backslash that protects a dollar sign."""
    words = shlex.split(text.replace("\\$", "\\\\$"))
    return words[0] if words else ""
