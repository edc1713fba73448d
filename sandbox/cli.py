"""The command line: up, down, status, env, run, deploy, destroy."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from sandbox import supervisor
from sandbox.errors import SandboxError
from sandbox.home import Home, project_of, tools_path

app = typer.Typer(
    name="sandbox",
    help="AWS on this machine: deploy the patterns with the real CDK CLI, without an AWS account.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
PatternsArgument = Annotated[list[str], typer.Argument(metavar="PATTERN...", help="For example: realtime.")]


@app.command()
def up(
    time_scale: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=1000, help="AWS seconds in a second: 60 makes a minute's wait a second. [1]"
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65000, help="Port of the gateway. [4566, or the next free one]")
    ] = None,
    max_model_servers: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Model-server processes at most. [24]")
    ] = None,
) -> None:
    """Start the sandbox; says so when it is already up."""
    with _reported():
        started_at = time.monotonic()
        options = supervisor.Options(time_scale, port, max_model_servers)
        state, started = supervisor.up(Home.locate(), options, _notify)
        how = f"is up ({time.monotonic() - started_at:.1f} s)" if started else "is already up"
        faster = f", time x {state.time_scale:g}" if state.time_scale != 1 else ""
        typer.echo(
            f"The sandbox {how}: AWS on {state.gateway_url}, invocations on {state.runtime_url}{faster}"
        )
        if started:
            typer.echo("Next: python -m sandbox deploy realtime")


@app.command()
def down() -> None:
    """Stop the sandbox and everything in it."""
    with _reported():
        ended = supervisor.down(Home.locate(), _notify)
        typer.echo("The sandbox is down." if ended else "The sandbox is not running.")


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Show health, ports, endpoints and processes; exit status 1 when the sandbox is not running."""
    with _reported():
        from sandbox.status import report

        found = report(Home.locate())
        if as_json:
            typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        else:
            _show(found)
        if not found["running"]:
            raise typer.Exit(1)


@app.command()
def env(as_json: JsonOption = False) -> None:
    """Print what points boto3, AWS CLI and CDK CLI at the sandbox: eval "$(python -m sandbox env)"."""
    with _reported():
        home = Home.locate()
        variables = home.client_environment(supervisor.require_running(home), os.environ)
        if as_json:
            typer.echo(json.dumps(variables, indent=2))
            return
        # a profile or a session token of a real account would win over what follows
        foreign = {name for name in os.environ if name.startswith("AWS_")} - variables.keys()
        typer.echo(f"unset {' '.join(sorted({*foreign, 'AWS_PROFILE', 'AWS_SESSION_TOKEN'}))}")
        for name, value in variables.items():
            typer.echo(f"export {name}={shlex.quote(value)}")


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(command: Annotated[list[str], typer.Argument(metavar="COMMAND...")]) -> None:
    """Run a command with that environment: python -m sandbox run -- aws s3 ls."""
    with _reported():
        home = Home.locate()
        environment = home.child_environment(supervisor.require_running(home))
        environment["PATH"] = os.pathsep.join([*tools_path(), environment.get("PATH", os.defpath)])
        program = shutil.which(command[0], path=environment["PATH"])
        if program is None:
            raise SandboxError(f"There is no command {command[0]!r}.")
        sys.stdout.flush()
        os.execve(program, command, environment)  # noqa: S606 - what the user asked for, no shell


@app.command()
def deploy(
    patterns: PatternsArgument,
    context: Annotated[
        list[str] | None, typer.Option("--context", "-c", metavar="KEY=VALUE", help="For the CDK app.")
    ] = None,
    environment: Annotated[
        str | None, typer.Option("--env", help="Short for -c env=...: which file in config/. [dev]")
    ] = None,
) -> None:
    """Deploy patterns into the sandbox with the real CDK CLI."""
    with _reported():
        given = [*(context or []), *([f"env={environment}"] if environment else [])]
        wrong = [item for item in given if not item.partition("=")[0] or "=" not in item]
        if wrong:
            raise SandboxError(f"A context value looks like key=value, not {', '.join(map(repr, wrong))}.")
        started_at = time.monotonic()
        _cdk().deploy(patterns, given)
        typer.echo(f"{', '.join(patterns)}: deployed ({time.monotonic() - started_at:.1f} s)")


@app.command()
def destroy(patterns: PatternsArgument) -> None:
    """Delete deployed patterns with the real CDK CLI."""
    with _reported():
        _cdk().destroy(patterns)
        typer.echo(f"{', '.join(patterns)}: destroyed")


def _cdk() -> Any:
    from sandbox.cdk import Cdk

    home = Home.locate()
    return Cdk(home, supervisor.require_running(home), project_of(), _notify)


def _notify(text: str) -> None:
    typer.echo(f"sandbox: {text}", err=True)


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """A user's mistake is one message and exit status 1; an interruption is 130."""
    try:
        yield
    except SandboxError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None


def _capacity(variant: dict[str, Any]) -> str:
    serverless = variant.get("serverless")
    if not serverless:
        return f"{variant.get('instances', '')}"
    return f"serverless, 0 to {serverless['MaxConcurrency']}"


def _show(found: dict[str, Any]) -> None:
    if not found["running"]:
        typer.echo("The sandbox is not running. Start it: python -m sandbox up")
        return
    from rich.console import Console
    from rich.table import Table

    health = "healthy" if found["healthy"] else "does not answer"
    typer.echo(f"The sandbox is up and {health}: process {found['pid']}, since {found['started']}")
    typer.echo(f"AWS {found['gateway']}, invocations {found['runtime']}, time x {found['time_scale']:g}")
    typer.echo(f"Account {found['account']}, Region {found['region']}, log {found['log']}")
    servers = [process for process in found["processes"] if process["kind"] == "model server"]
    typer.echo(
        f"{len(servers)} of at most {found['max_model_servers']} model servers, "
        f"{found['memory_bytes'] / 2**20:.0f} MB in {len(found['processes'])} processes"
    )
    if not found["endpoints"]:
        typer.echo("No endpoints.")
        return
    table = Table("Endpoint", "Status", "Variant", "Instances", "Weight")
    for endpoint in found["endpoints"]:
        for number, variant in enumerate(endpoint["variants"] or [{}]):
            table.add_row(
                endpoint["name"] if number == 0 else "",
                endpoint["status"] if number == 0 else "",
                variant.get("name", ""),
                _capacity(variant),
                f"{variant.get('weight', '')}",
            )
    Console().print(table)
    for endpoint in found["endpoints"]:
        if endpoint["failure_reason"]:
            typer.echo(f"{endpoint['name']}: {endpoint['failure_reason']}")
