"""The command line.

Exit status: 0 well; 1 could not be done, or a demo did not show what it should; 2 `status` found something
wrong, `watch` saw a rollback, `pipeline` an execution that failed or was stopped, or wrong usage; 3 `load`,
`ab send` or `ab test` had requests without an answer; 130 interrupted. `async run` has 1 when a request
failed, `batch run` when the workflow did.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from client.ab.cli import app as ab
from client.async_inference.cli import app as async_inference
from client.batch.cli import app as batch
from client.connection import Connection
from client.errors import UserError, explain
from client.options import Accept, Container, ContentType, File, Json, Pattern, Stack, TargetVariant, duration
from client.output import complain, err, out, plain, print_json
from client.patterns import deployed_patterns, find_pattern, nothing_deployed
from client.pipeline.cli import app as pipeline


class _FriendlyGroup(TyperGroup):
    """Turns errors that a person can do something about into one message, and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            complain(error.message, error.hint)
        except Exception as error:
            known = explain(error)
            if known is None:
                raise
            complain(known.message, known.hint)
        raise typer.Exit(1)


app = typer.Typer(
    cls=_FriendlyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Talk to deployed patterns, on AWS and in the sandbox alike. Credentials, Region and endpoint URLs "
    "come from the standard AWS_* environment.",
)

app.add_typer(ab, name="ab")
app.add_typer(async_inference, name="async")
app.add_typer(batch, name="batch")
app.add_typer(pipeline, name="pipeline")


@app.command()
def invoke(
    pattern: Pattern,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            help="Texts to send; by default an example. Similarity takes two a pair.", show_default=False
        ),
    ] = None,
    file: File = None,
    json_body: Annotated[
        str | None, typer.Option(help="Send this JSON as it is.", metavar="JSON", show_default=False)
    ] = None,
    content_type: ContentType = None,
    accept: Accept = None,
    target_variant: TargetVariant = None,
    container: Container = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Take the answer in parts, as they are made.")
    ] = False,
    http: Annotated[bool, typer.Option("--http", help="To a function: over its HTTP front, signed.")] = False,
    as_json: Json = False,
    stack: Stack = None,
) -> None:
    """Send texts to an endpoint or a function, and show the answer, who gave it, and its latency."""
    from client import invocation, invocation_view
    from client.containers import choose_container
    from client.functions.invocation import invoke_function, invoke_http
    from client.payloads import REVIEWS, from_file, from_json_text, from_texts

    given = [
        name for name, value in (("texts", texts), ("--file", file), ("--json-body", json_body)) if value
    ]
    if len(given) > 1:
        raise UserError(f"Both {' and '.join(given)} were given", "Give one of them.")
    payload = from_file(file, content_type) if file else from_json_text(json_body) if json_body else None
    connection = Connection()
    deployed = find_pattern(connection, pattern, stack)
    if deployed.has_function:
        unfit = [
            name
            for name, value in (
                ("--target-variant", target_variant),
                ("--container", container),
                ("--stream", stream),
                ("--accept without --http", accept and not http),
            )
            if value
        ]
        if unfit:
            raise UserError(f"A function takes no {' and no '.join(unfit)}", "Leave it out.")
        payload = payload or from_texts(texts or REVIEWS, content_type or "application/json")
        if http:
            answer = invoke_http(connection, deployed, payload, accept)
        else:
            answer = invoke_function(connection, deployed, payload)
        if as_json:
            shown = invocation_view.as_dict(deployed.outputs["FunctionName"], payload, answer)
            shown["function"], shown["version"] = shown.pop("endpoint"), shown.pop("variant") or None
            print_json(shown)
        else:
            invocation_view.show_answer(payload, answer, "version")
        return
    if http:
        raise UserError(f"Pattern {pattern!r} has no function with an HTTP front", "Leave --http out.")
    endpoint_name = deployed.endpoint_name
    chosen = choose_container(deployed, container)
    payload = payload or chosen.payload(texts, content_type)
    target = invocation.Target(endpoint_name, target_variant, accept, chosen.hostname)
    if stream:
        show = invocation_view.quietly if as_json else invocation_view.part_shower()
        answer = invocation.invoke_streaming(connection, target, payload, show)
    else:
        answer = invocation.invoke(connection, target, payload)
    if as_json:
        print_json(invocation_view.as_dict(endpoint_name, payload, answer))
    else:
        invocation_view.show_answer(payload, answer)


@app.command()
def status(
    pattern: Annotated[
        str | None, typer.Argument(help="One pattern; by default all.", show_default=False)
    ] = None,
    as_json: Json = False,
    stack: Stack = None,
) -> None:
    """Show what is deployed, and whether it is what was asked for: exit status 2 if not."""
    from client.status import pattern_status
    from client.status_view import show_status

    connection = Connection()
    if pattern:
        chosen = [find_pattern(connection, pattern, stack)]
    else:
        chosen = [one for one in deployed_patterns(connection) if stack in (None, one.stack_name)]
        if not chosen and stack:
            raise UserError(f"No stack {stack!r} with a pattern is deployed in {connection}")
        if not chosen:
            raise nothing_deployed(connection, "realtime")
    found = [pattern_status(connection, one) for one in chosen]
    if as_json:
        print_json({"region": connection.region, "patterns": [one.as_dict() for one in found]})
    else:
        for one in found:
            show_status(one)
    if any(one.problems for one in found):
        raise typer.Exit(2)


@app.command()
def load(
    pattern: Pattern,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Open loop: so many requests per second begin, answered or not (latency counts from then)."
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(help="Closed loop: so many callers, each waiting for its answer. Default: 4."),
    ] = None,
    duration_: Annotated[
        float | None,
        typer.Option(
            "--duration",
            parser=duration,
            metavar="DURATION",
            help="30s, 5m, 1h at most. Default: 30s.",
            show_default=False,
        ),
    ] = None,
    requests: Annotated[int | None, typer.Option(help="Stop after so many requests.")] = None,
    file: File = None,
    content_type: ContentType = None,
    target_variant: TargetVariant = None,
    as_json: Json = False,
    output: Annotated[Path | None, typer.Option(help="Also write the figures to this file, as JSON.")] = None,
    stack: Stack = None,
) -> None:
    """Send many requests and measure: exit status 3 if some failed or could not be sent."""
    from client.load.command import run_load
    from client.load.plan import make_plan
    from client.load.view import show_report
    from client.payloads import REVIEWS, from_file, from_texts

    plan = make_plan(rate, concurrency, duration_, requests)
    payload = (
        from_file(file, content_type) if file else from_texts(REVIEWS, content_type or "application/json")
    )
    if output and not output.absolute().parent.is_dir():
        raise UserError(f"{output} cannot be written: there is no folder {output.absolute().parent}")
    connection = Connection()
    report = run_load(
        connection, find_pattern(connection, pattern, stack).endpoint_name, target_variant, payload, plan
    )
    if output:
        try:
            output.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            complain(f"{output} cannot be written: {error.strerror}")
    if as_json:
        print_json(report)
    else:
        show_report(plan, report)
    if report["interrupted"]:
        raise typer.Exit(130)
    if report["requests"]["failed"] or report["requests"]["not_sent"]:
        raise typer.Exit(3)


@app.command()
def logs(
    pattern: Pattern,
    since: Annotated[
        float, typer.Option(parser=duration, metavar="DURATION", help="How far to look back: 10m, 2h, 1d.")
    ] = "10m",  # type: ignore[assignment]  # typer parses the default, too
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    stack: Stack = None,
) -> None:
    """Show what the endpoint's containers logged."""
    from client.logs import log_events

    connection = Connection()
    endpoint_name = find_pattern(connection, pattern, stack).endpoint_name
    count = 0
    for event in log_events(connection, endpoint_name, since_seconds=since, follow=follow):
        count += 1
        if as_json:
            typer.echo(json.dumps(event, ensure_ascii=False, default=str))
            continue
        at = datetime.fromtimestamp(event["timestamp"] / 1000).strftime("%H:%M:%S.%f")[:-3]
        out.print(
            f"[dim]{at}[/dim]",
            plain(event["logStreamName"]),
            plain(event["message"].rstrip()),
            soft_wrap=True,
        )
    if not count:
        err.print("nothing was logged in that time")


@app.command()
def watch(
    pattern: Pattern,
    wait: Annotated[
        float,
        typer.Option(parser=duration, metavar="DURATION", help="How long to wait for a deployment to begin."),
    ] = "5m",  # type: ignore[assignment]  # typer parses the default, too
    as_json: Json = False,
    stack: Stack = None,
) -> None:
    """Watch a deployment: traffic and errors of each fleet, alarms, stages. Rolled back: exit status 2."""
    from client.watch.follow import COMPLETED
    from client.watch.follow import watch as follow
    from client.watch.view import deployment_view, ending_words

    connection = Connection()
    deployed = find_pattern(connection, pattern, stack)
    versions = {deployed.expected_config or "": deployed.model_version}
    with deployment_view(connection, deployed.pattern, versions).drawn() as draw:
        ending = follow(connection, deployed, draw, wait_seconds=wait)
    if as_json:
        print_json({**ending.as_dict(), "last": ending.last.as_dict()})
    else:
        out.print(ending_words(ending), soft_wrap=True)
    if ending.result != COMPLETED:
        raise typer.Exit(2)


@app.command()
def demo(pattern: Pattern, as_json: Json = False, stack: Stack = None) -> None:
    """Show a pattern working, without a question asked: exit status 1 if it does not."""
    from client.demos import DEMOS

    connection = Connection()
    deployed = find_pattern(connection, pattern, stack)
    show = DEMOS.get(pattern)
    if show is None:
        raise UserError(
            f"There is no demo of pattern {pattern!r}", f"There is one of: {', '.join(sorted(DEMOS))}"
        )
    outcome = show(connection, deployed)
    if as_json:
        print_json(outcome.as_dict())
    else:
        outcome.show()
    if outcome.problem:
        raise outcome.problem
    if not as_json:
        outcome.show_next_steps()
