"""`python -m client pipeline`: executions of the ML pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.connection import Connection
from client.options import Json, Stack, check_picture
from client.output import out, plain, print_json
from client.patterns import DeployedPattern, find_pattern
from client.pipeline import registry_cli

if TYPE_CHECKING:
    from client.pipeline.executions import ExecutionState

app = typer.Typer(no_args_is_help=True, help="The ML pipeline: data, executions, versions.")

Execution = Annotated[
    str | None,
    typer.Argument(
        help="An execution: its ARN, or the last part of it. Default: the latest.", show_default=False
    ),
]
DEFAULT_PATTERN = registry_cli.DEFAULT_PATTERN


@app.command()
def start(
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            help="A parameter that is not to have its default; repeat it for others.",
            metavar="NAME=VALUE",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Watch it until it has ended.", show_default=False)
    ] = False,
    timeout: registry_cli.Timeout = "12h",  # type: ignore[assignment]  # typer parses the default, too
    as_json: Json = False,
    pattern: registry_cli.Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Start an execution; with --wait, exit status 2 if it failed or was stopped."""
    from client.pipeline import executions
    from client.pipeline.parameters import check_parameters

    connection = Connection()
    deployed = find_pattern(connection, pattern, stack)
    name = executions.pipeline_name(deployed)
    declared = executions.pipeline_definition(connection, name).parameters
    arn = executions.start(connection, name, check_parameters(declared, parameter or []))
    if wait:
        if not as_json:
            out.print(plain(arn), soft_wrap=True)
        _watch(connection, deployed, arn, timeout=timeout, as_json=as_json)
    elif as_json:
        print_json({"execution": arn})
    else:
        out.print(plain(arn), soft_wrap=True)


@app.command()
def watch(
    execution: Execution = None,
    timeout: registry_cli.Timeout = "12h",  # type: ignore[assignment]  # typer parses the default, too
    as_json: Json = False,
    pattern: registry_cli.Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Watch the steps of an execution until it ends: exit status 2 if it failed or was stopped."""
    from client.pipeline.executions import find_execution, pipeline_name

    connection = Connection()
    deployed = find_pattern(connection, pattern, stack)
    arn = find_execution(connection, pipeline_name(deployed), execution)
    _watch(connection, deployed, arn, timeout=timeout, as_json=as_json)


@app.command()
def graph(
    output: Annotated[Path, typer.Option(help="Where the picture goes (PNG).", metavar="FILE.png")],
    execution: Execution = None,
    pattern: registry_cli.Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Draw an execution as it is now: steps, what they took, the branches that were not taken."""
    from client.pipeline import executions

    check_picture("--output", output)
    connection = Connection()
    name = executions.pipeline_name(find_pattern(connection, pattern, stack))
    arn = executions.find_execution(connection, name, execution)
    definition = executions.execution_definition(connection, arn)
    state = executions.execution_state(connection, arn, definition)
    from client.pipeline.picture import draw_execution  # matplotlib takes half a second to import

    draw_execution(name, definition, state, output)
    out.print(plain(output), soft_wrap=True)


for command in (registry_cli.send, registry_cli.versions, registry_cli.approve, registry_cli.reject):
    app.command()(command)


def _watch(
    connection: Connection, deployed: DeployedPattern, arn: str, *, timeout: float, as_json: bool
) -> None:
    from client.pipeline.executions import SUCCEEDED
    from client.pipeline.following import follow
    from client.pipeline.view import following, show_outcome

    with following(deployed.outputs["PipelineName"]) as draw:
        state: ExecutionState = follow(connection, arn, timeout=timeout, draw=draw)
    if as_json:
        names = {"endpoint": "EndpointName", "model_package_group": "ModelPackageGroupName"}
        print_json({**state.as_dict(), **{key: deployed.outputs.get(name) for key, name in names.items()}})
    else:
        show_outcome(deployed, state, in_sandbox=connection.is_sandbox)
    if state.status != SUCCEEDED:
        raise typer.Exit(2)
