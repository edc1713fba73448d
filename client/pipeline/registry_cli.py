"""`python -m client pipeline send | versions | approve | reject`: data in, decisions about what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from client.connection import Connection
from client.options import Json, Stack, duration
from client.output import complain, err, out, plain, print_json
from client.patterns import DeployedPattern, find_pattern
from client.pipeline.deciding import Decision

Version = Annotated[
    str | None, typer.Argument(help="A version: its number or ARN.", show_default=False, metavar="VERSION")
]
Because = Annotated[str, typer.Option(help="Why; kept beside the decision.", metavar="TEXT")]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait", help="Follow the endpoint until it serves; exit status 2 if that fails.", show_default=False
    ),
]
Timeout = Annotated[
    float, typer.Option(parser=duration, metavar="DURATION", help="How long to wait: 90s, 20m, 12h.")
]
Pattern = Annotated[str, typer.Option("--pattern", help="The pattern with the pipeline.")]
DEFAULT_PATTERN = "ml-pipeline"


def send(
    files: Annotated[
        list[Path], typer.Argument(help="Reviews: id, document, label, tab-separated.", metavar="FILE...")
    ],
    folder: Annotated[str, typer.Option(help="Folder of their own below raw/.", show_default=False)],
    add: Annotated[
        bool, typer.Option("--add", help="Send into a folder that has data.", show_default=False)
    ] = False,
    no_marker: Annotated[
        bool, typer.Option("--no-marker", help="The folder is not complete yet.", show_default=False)
    ] = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Send raw data; the marker at the end starts an execution where starts.on_new_data is on."""
    from client.batch.view import uploading
    from client.commands import client_command
    from client.pipeline import executions, sending

    sending.check(files, folder)
    connection = Connection()
    deployed = find_pattern(connection, pattern, stack)
    before = executions.latest_executions(connection, executions.pipeline_name(deployed))
    with uploading(sum(file.stat().st_size for file in files)) as sent:
        place = sending.send(
            connection, deployed, files, folder, add=add, marker=not no_marker, on_bytes=sent
        )
    out.print(plain(place), soft_wrap=True)
    local = connection.is_sandbox
    start = client_command(f"pipeline start --parameter InputData={folder} --wait", in_sandbox=local)
    arn = None
    if not no_marker:
        with err.status("waiting for the execution that the marker starts"):
            arn = sending.started_by_itself(connection, deployed, folder, before)
    if arn:
        watch = client_command(f"pipeline watch {arn.rpartition('/')[2]}", in_sandbox=local)
        _tell_next("started", arn)
        _tell_next("watch", watch)
        return
    if not no_marker:
        _tell_next("note", "no execution has started: starts.on_new_data is off, or one had these data")
    _tell_next("start", start)


def _tell_next(name: str, words: str) -> None:
    out.print(Text.assemble((f"{name:<9}", "dim"), plain(words)), soft_wrap=True)


def versions(as_json: Json = False, pattern: Pattern = DEFAULT_PATTERN, stack: Stack = None) -> None:
    """Versions of the model: approved or not, how accurate, and which one serves."""
    from client.pipeline.registry_view import show_versions
    from client.pipeline.versions import list_versions, serving

    connection = Connection()
    deployed = find_pattern(connection, pattern, stack)
    found, now = list_versions(connection, deployed, evaluated=True), serving(connection, deployed)
    if as_json:
        print_json({"versions": [one.as_dict() for one in found], "serving": now.as_dict()})
    else:
        show_versions(found, now, in_sandbox=connection.is_sandbox)


def approve(
    version: Version = None,
    because: Because = "",
    wait: Wait = False,
    timeout: Timeout = "2h",  # type: ignore[assignment]  # typer parses the default, too
    as_json: Json = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Approve a version, by default the newest that waits: the endpoint goes to the newest approved one."""
    from client.pipeline import deciding

    connection = Connection()
    deployed = find_pattern(connection, pattern, stack)
    decision = deciding.approve(connection, deployed, version, because)
    _tell(connection, deployed, decision, wait=wait, timeout=timeout, as_json=as_json)


def reject(
    version: Version = None,
    because: Because = "",
    wait: Wait = False,
    timeout: Timeout = "2h",  # type: ignore[assignment]  # typer parses the default, too
    as_json: Json = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Reject a version, by default the one that serves: the endpoint goes back to the one before."""
    from client.pipeline import deciding

    connection = Connection()
    deployed = find_pattern(connection, pattern, stack)
    decision = deciding.reject(connection, deployed, version, because)
    _tell(connection, deployed, decision, wait=wait, timeout=timeout, as_json=as_json)


def _tell(
    connection: Connection,
    deployed: DeployedPattern,
    decision: Decision,
    *,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    from client.pipeline.deciding import TakenBackError, follow
    from client.pipeline.registry_view import following, show_decision, show_serving
    from client.pipeline.versions import serving

    if not as_json:
        show_decision(decision)
    now, taken_back = decision.before, None
    if wait:
        with following() as say:
            try:
                now = follow(connection, deployed, decision, timeout=timeout, say=say)
            except TakenBackError as error:
                taken_back, now = error, serving(connection, deployed)
    if as_json:
        print_json(
            {
                "version": decision.version.as_dict(),
                "outlook": decision.outlook,
                "goal": decision.goal.arn if decision.goal else None,
                "serving": now.as_dict(),
            }
        )
    elif wait:
        show_serving(now, decision.versions)
    if taken_back:
        complain(taken_back.message, taken_back.hint)
        raise typer.Exit(2)
