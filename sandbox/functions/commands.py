"""What a RUN instruction would do: packages that it installs, and what cannot be had without running it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

_SEPARATORS = {"&&", ";", "||", "|", "\n"}
_PYTHON = re.compile(r"(?:.*/)?python(?:3(?:\.\d+)?)?")
_SYSTEM_PACKAGES = {"apk", "apt", "apt-get", "dnf", "dpkg", "microdnf", "rpm", "tdnf", "yum", "zypper"}
# they make no file that code would need: they look, tidy up, or set rights that a process here has anyway
_HARMLESS = {
    "cd", "chmod", "chown", "echo", "export", "find", "groupadd", "ls", "mkdir", "printf", "pwd", "rm",
    "rmdir",
    "set", "strip", "test", "true", "useradd",
}  # fmt: skip
# options of pip install that take a word of their own
_PIP_VALUES = {
    "--abi", "--cache-dir", "--extra-index-url", "--find-links", "--implementation", "--index-url",
    "--no-binary", "--only-binary", "--platform", "--prefix", "--progress-bar", "--python-version", "--root",
    "--root-user-action", "--src", "--timeout", "--trusted-host", "--upgrade-strategy",
    "-f", "-i",
}  # fmt: skip


@dataclass
class Install:
    """A ``pip install``.

    Args:
        files: Requirements files, as paths in the image.
        packages: Requirements on the command line.
        target: Folder of ``--target``, as a path in the image; None for the image's own Python.
    """

    files: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    target: str | None = None


@dataclass
class Effects:
    """What a RUN instruction comes to.

    Args:
        installs: Packages for Python.
        compiled: It compiles Python files to byte code.
        unknown: Commands whose result cannot be had without running them, with the reason.
    """

    installs: list[Install] = field(default_factory=list)
    compiled: bool = False
    unknown: list[str] = field(default_factory=list)


def effects(words: list[str] | None, text: str) -> Effects:
    """Read a RUN instruction.

    Args:
        words: Its JSON form; None for the shell form.
        text: Its shell form.
    """
    found = Effects()
    try:
        commands = [words] if words is not None else list(_commands(text))
    except ValueError as error:
        found.unknown.append(f"{text!r} cannot be read: {error}")
        return found
    for command in commands:
        _judge(command, found)
    return found


def _commands(text: str) -> Iterator[list[str]]:
    if "$(" in text or "`" in text:
        yield [text]
        return
    lexer = shlex.shlex(text, posix=True, punctuation_chars="&|;<>()")
    lexer.whitespace_split = True
    command: list[str] = []
    escaped = {";", "+"}  # the end of find -exec, which the lexer gives like a separator
    for word in lexer:
        if word in _SEPARATORS and not (word in escaped and "-exec" in command):
            yield command
            command = []
        else:
            command.append(word)
    yield command


def _judge(command: list[str], found: Effects) -> None:
    while command and re.fullmatch(r"\w+=.*", command[0]):  # variables of the command
        command = command[1:]
    if not command:
        return
    program, words = PurePosixPath(command[0]).name, command[1:]
    if _writes_a_file(words):
        found.unknown.append(f"{shlex.join(command)} makes a file")
        return
    if _PYTHON.fullmatch(command[0]) and words[:1] == ["-m"] and len(words) > 1:
        program, words = words[1], words[2:]
    elif _PYTHON.fullmatch(command[0]) and words in (["--version"], ["-V"]):
        return
    if program == "uv" and words[:1] == ["pip"]:
        program, words = "pip", words[1:]
    if program in {"pip", "pip3"}:
        _judge_pip(words, found)
    elif program == "compileall":
        found.compiled = True
    elif program in _SYSTEM_PACKAGES:
        found.unknown.append(f"{shlex.join(command)} installs packages of the system")
    elif program not in _HARMLESS:
        found.unknown.append(f"{shlex.join(command)} would have to run")


def _writes_a_file(words: list[str]) -> bool:
    places = [at for at, word in enumerate(words) if word in {">", ">>", "&>"}]
    return any(at + 1 >= len(words) or words[at + 1] != "/dev/null" for at in places)


def _judge_pip(words: list[str], found: Effects) -> None:
    if words[:1] != ["install"]:
        return  # it looks or tidies up
    install = Install()
    rest = iter(words[1:])
    for word in rest:
        name, given, value = word.partition("=")
        if word in {"-r", "--requirement"}:
            install.files.append(next(rest, ""))
        elif given and name == "--requirement":
            install.files.append(value)
        elif word in {"-t", "--target"}:
            install.target = next(rest, "")
        elif given and name == "--target":
            install.target = value
        elif word in _PIP_VALUES or word in {"-c", "--constraint"}:
            next(rest, "")
        elif word in {"-e", "--editable"}:
            found.unknown.append(f"pip install -e {next(rest, '')} builds a package of the context")
        elif not word.startswith("-"):
            install.packages.append(word)
    found.installs.append(install)
