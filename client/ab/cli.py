"""`python -m client ab`: two models behind one endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.connection import Connection
from client.durations import shown
from client.errors import UserError
from client.options import ContentType, File, Json, Stack, TargetVariant, duration
from client.output import err, print_json
from client.patterns import DeployedPattern, find_pattern

app = typer.Typer(
    no_args_is_help=True, help="A/B testing: variants side by side, traffic, weights, and which is better."
)

Pattern = Annotated[str, typer.Option("--pattern", help="The pattern with the variants.")]
DEFAULT_PATTERN = "ab-test"
_MOST_REQUESTS = 1_000_000


def _find(pattern: str, stack: str | None) -> tuple[Connection, DeployedPattern]:
    connection = Connection()
    return connection, find_pattern(connection, pattern, stack)


@app.command()
def show(
    window: Annotated[
        float, typer.Option(parser=duration, metavar="DURATION", help="How far to look back: 10m, 2h, 1d.")
    ] = "15m",  # type: ignore[assignment]  # typer parses the default, too
    as_json: Json = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Show each variant's weight, invocations, errors and latency, side by side."""
    from client.ab.view import show_variants
    from client.ab.weights import shares
    from client.metrics import Window, variant_figures
    from client.status import endpoint_status

    connection, deployed = _find(pattern, stack)
    endpoint = endpoint_status(connection, deployed)
    span = Window.of(window)
    names = [one.name for one in endpoint.variants]
    figures = variant_figures(connection, endpoint.name, names, span)
    if not as_json:
        show_variants(endpoint, figures, f"last {shown(span.seconds)}")
        return
    promised = shares(endpoint)
    print_json(
        {
            "endpoint": endpoint.name,
            "status": endpoint.status,
            "window_seconds": span.seconds,
            "variants": [
                {
                    "name": one.name,
                    "shadow": one.shadow,
                    "weight": one.weight,
                    "desired_weight": one.desired_weight,
                    "share": promised.get(one.name),
                    "instances": one.instances,
                    **figures[one.name],
                }
                for one in endpoint.variants
            ],
        }
    )


@app.command()
def send(
    requests: Annotated[int, typer.Argument(min=1, max=_MOST_REQUESTS, help="How many.", show_default=False)],
    target_variant: TargetVariant = None,
    file: File = None,
    content_type: ContentType = None,
    as_json: Json = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Send requests, and count who answered: exit status 3 if some failed."""
    from client.ab.sending import count_shares
    from client.ab.view import show_shares
    from client.load.command import run_load
    from client.load.plan import make_plan
    from client.load.view import show_trouble
    from client.payloads import REVIEWS, from_file, from_texts
    from client.waiting import wait_until_settled

    payload = (
        from_file(file, content_type) if file else from_texts(REVIEWS, content_type or "application/json")
    )
    connection, deployed = _find(pattern, stack)
    endpoint = wait_until_settled(connection, deployed)
    report = run_load(
        connection, endpoint.name, target_variant, payload, make_plan(None, None, None, requests)
    )
    counted = count_shares(endpoint, report["variants"], target_variant)
    if as_json:
        print_json(
            {
                "endpoint": endpoint.name,
                "requests": report["requests"],
                "shares": [one.as_dict() for one in counted],
                "latency_ms": report["latency_ms"],
                "errors": report["errors"],
            }
        )
    else:
        show_shares(counted)
        show_trouble(report)
    if report["interrupted"]:
        raise typer.Exit(130)
    if report["requests"]["failed"] or report["requests"]["not_sent"]:
        raise typer.Exit(3)


@app.command()
def shift(
    weights: Annotated[
        list[str],
        typer.Argument(
            metavar="VARIANT=WEIGHT...", help="For example champion=80 challenger=20.", show_default=False
        ),
    ],
    as_json: Json = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Set traffic weights of the serving endpoint; no instance starts or stops."""
    from client.ab import weights as traffic
    from client.ab.view import show_weights
    from client.output import out
    from client.status import endpoint_status

    connection, deployed = _find(pattern, stack)
    variants = [one.name for one in endpoint_status(connection, deployed).production_variants]
    endpoint = traffic.shift(connection, deployed, traffic.parse_weights(weights, variants))
    shares = traffic.shares(endpoint)
    if as_json:
        print_json(
            {
                "endpoint": endpoint.name,
                "variants": [
                    {"name": one.name, "weight": one.weight, "share": shares[one.name]}
                    for one in endpoint.production_variants
                ],
            }
        )
        return
    promised = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares.items())
    out.print(f"{show_weights(endpoint.production_variants)}   of the traffic: {promised}", soft_wrap=True)


@app.command("test")
def compare_variants(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Lines of id<TAB>text<TAB>label or text<TAB>label. By default NSMC's test split if it is in "
            "NSMC_DIR, else the 40 reviews that come with this client.",
            show_default=False,
        ),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Use so many of its rows, drawn at random but always the same.")
    ] = None,
    between: Annotated[
        list[str] | None, typer.Option("--variant", help="The two to compare; needed if there are more.")
    ] = None,
    as_json: Json = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Tell whether two variants differ, by labelled texts: exit status 3 if some got no answer."""
    from client.ab.comparison import compare
    from client.ab.labelled import default_file, read_labelled
    from client.ab.view import show_comparison
    from client.output import texts_progress

    labelled = read_labelled(file or default_file()).sample(rows)
    connection, deployed = _find(pattern, stack)
    variants = _two(deployed, between)
    err.print(f"asking {' and '.join(variants)} about {labelled}", soft_wrap=True)
    with texts_progress(2 * len(labelled.rows)) as progressed:
        result = compare(connection, deployed.endpoint_name, variants, labelled.rows, progressed)
    if as_json:
        print_json({"endpoint": deployed.endpoint_name, "file": str(labelled.path), **result.as_dict()})
    else:
        show_comparison(result, labelled)
    if result.unanswered:
        raise typer.Exit(3)


def _two(deployed: DeployedPattern, named: list[str] | None) -> tuple[str, str]:
    """The variants to compare."""
    known = deployed.variant_names
    chosen = named or known
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise UserError(
            f"Endpoint {deployed.endpoint_name} has no variant {', '.join(map(repr, unknown))}",
            f"Its variants: {', '.join(known)}.",
        )
    if len(chosen) != 2 or chosen[0] == chosen[1]:
        raise UserError(
            f"Two variants are compared, but these are {len(set(chosen))}: {', '.join(chosen)}",
            "Name two: --variant A --variant B."
            if len(known) > 1
            else f"{deployed.stack_name} has one variant only: deploy it with a second one.",
        )
    return chosen[0], chosen[1]
