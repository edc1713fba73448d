"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.durations import parse_duration
from client.errors import UserError

Pattern = Annotated[str, typer.Argument(help="The pattern, for example realtime.", show_default=False)]
Stack = Annotated[str | None, typer.Option("--stack", help="Which stack, if several are of this pattern.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]
File = Annotated[
    str | None, typer.Option("--file", help="Send this file as it is; - for standard input.", metavar="FILE")
]
ContentType = Annotated[
    str | None,
    typer.Option(
        help="application/json, application/jsonlines, text/csv, text/plain, or what your model takes."
    ),
]
TargetVariant = Annotated[str | None, typer.Option(help="A production variant, past the traffic weights.")]
Container = Annotated[
    str | None,
    typer.Option("--container", help="The container that answers, by its hostname.", metavar="HOSTNAME"),
]
Accept = Annotated[str | None, typer.Option(help="Media type wanted back.")]


def check_picture(option: str, path: Path) -> None:
    """Refuse a name that no picture can be written to, before anything else is done.

    Args:
        option: The option that gave it.
        path: The name.

    Raises:
        UserError: It does not end in .png, or its folder is not there.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"{option} {path}: the name must end in .png")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path} cannot be written: there is no folder {path.absolute().parent}")


def duration(text: str) -> float:
    """Seconds, for typer.

    Raises:
        typer.BadParameter: It is no duration.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
