"""Shows variants side by side, who answered, and whether two of them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from client.ab.comparison import FEWEST_DISCORDANT, Comparison
from client.ab.labelled import LabelledFile
from client.ab.sending import Share
from client.ab.statistics import CONFIDENCE, POWER, difference_interval, texts_to_decide
from client.ab.weights import shares
from client.metrics import Figures
from client.output import figure, moving, out, plain
from client.status import EndpointStatus, VariantStatus

# a difference that would matter to somebody, for planning where none was seen
_WORTH_KNOWING = 0.01


def show_variants(endpoint: EndpointStatus, figures: Mapping[str, Figures], window: str) -> None:
    """One column for each variant."""
    promised = shares(endpoint)
    table = Table(header_style="bold", title=f"{endpoint.name}, {endpoint.status}", title_justify="left")
    table.add_column("", style="dim")
    for one in endpoint.variants:
        table.add_column(f"{one.name} (shadow)" if one.shadow else one.name, justify="right")
    rows: list[tuple[str, Sequence[str | Text]]] = [
        ("weight", [moving(one.weight, one.desired_weight) for one in endpoint.variants]),
        (
            "share of the traffic",
            ["copies" if one.shadow else f"{100 * promised[one.name]:.1f} %" for one in endpoint.variants],
        ),
        ("instances", [moving(one.instances, one.desired_instances) for one in endpoint.variants]),
    ]
    columns = [figures.get(one.name, {}) for one in endpoint.variants]
    for heading, key, digits in (
        (f"invocations, {window}", "invocations", 0),
        ("client errors (4xx)", "errors_4xx", 0),
        ("server errors (5xx)", "errors_5xx", 0),
    ):
        rows.append((heading, [figure(column.get(key), digits) for column in columns]))
    rows.append(("error rate", [_error_rate(column) for column in columns]))
    for heading, key in (
        ("model latency p50, ms", "model_latency_p50_ms"),
        ("model latency p99, ms", "model_latency_p99_ms"),
    ):
        rows.append((heading, [figure(column.get(key), 1) for column in columns]))
    for heading, cells in rows:
        table.add_row(heading, *cells)
    out.print(table)


def show_weights(variants: Sequence[VariantStatus]) -> str:
    """Weights in one line: ``champion 80 : challenger 20``."""
    return " : ".join(f"{one.name} {one.weight or 0:g}" for one in variants)


def show_shares(counted: Sequence[Share]) -> None:
    """Who answered, beside what was promised."""
    table = Table(header_style="bold")
    table.add_column("variant")
    for heading in ("answered", "share", "promised"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for one in counted:
        table.add_row(
            plain(one.variant),
            f"{one.answered:,}",
            f"{100 * one.share:.1f} %",
            f"{100 * one.promised:.1f} ± {100 * one.tolerance:.1f} %",
            Text("as promised", style="green") if one.as_promised else Text("not as promised", style="red"),
        )
    out.print(table)


def show_comparison(result: Comparison, labelled: LabelledFile) -> None:
    """Accuracies, the test, and what they mean."""
    counts, test = result.counts, result.test
    out.print(Text(f"Accuracy on {labelled}", style="italic"), soft_wrap=True)
    table = Table(header_style="bold")
    table.add_column("variant")
    for heading in ("right", "of", "accuracy", f"{100 * CONFIDENCE:.0f} % interval"):
        table.add_column(heading, justify="right")
    for name, right, limits in result.accuracies():
        table.add_row(
            plain(name),
            f"{right:,}",
            f"{counts.total:,}",
            f"{100 * right / counts.total:.2f} %",
            f"{100 * limits.low:.2f} to {100 * limits.high:.2f} %",
        )
    out.print(table)
    interval = difference_interval(counts)
    _line(
        f"both right {counts.both_right:,}   both wrong {counts.both_wrong:,}   "
        f"only {result.first} right {counts.first_only:,}   only {result.second} right {counts.second_only:,}"
    )
    _line(
        f"McNemar's test on these {counts.discordant:,} discordant texts: p = {_p(test.mid_p)} (mid-p), "
        f"{_p(test.exact)} (exact)"
    )
    _line(
        f"{result.second} - {result.first}: {_points(counts.difference)} points, {100 * CONFIDENCE:.0f} % "
        f"interval {_points(interval.low)} to {_points(interval.high)} (Tango)"
    )
    if result.unanswered:
        out.print(Text(f"{result.unanswered:,} texts were not answered by both", style="red"), soft_wrap=True)
        for told, count in result.failures.most_common(5):
            out.print(Text.assemble(f"  {count:,} x ", plain(told)), soft_wrap=True)
    style = "bold green" if result.better else "bold yellow"
    out.print(Text(verdict(result), style=style), soft_wrap=True)
    if labelled.advice and not result.better:
        out.print(Text(labelled.advice, style="dim"), soft_wrap=True)


def verdict(result: Comparison) -> str:
    """What the test says, in words."""
    counts = result.counts
    if result.better:
        other = result.first if result.better == result.second else result.second
        return f"They differ: {result.better} is better than {other}."
    interval = difference_interval(counts)
    most = 100 * max(abs(interval.low), abs(interval.high))
    words = (
        f"Not decided: these texts do not show which is better; they may differ by up to {most:.1f} points."
    )
    if counts.discordant < FEWEST_DISCORDANT:
        return f"{words} They disagree on {counts.discordant} texts: too few to say how many more it takes."
    if result.more_texts:
        seen = f"{100 * abs(counts.difference):.2f} points"
        return (
            f"{words} If the difference of {seen} seen here is real, about {result.more_texts:,} more texts "
            f"show it with a chance of {100 * POWER:.0f} %."
        )
    needed = texts_to_decide(counts, _WORTH_KNOWING)
    if needed and needed > counts.total:
        return (
            f"{words} To show a difference of {100 * _WORTH_KNOWING:g} point, about "
            f"{needed - counts.total:,} more texts are needed (chance {100 * POWER:.0f} %)."
        )
    return words


def _error_rate(column: Figures) -> Text:
    invocations = column.get("invocations")
    if not invocations:
        return Text("-")
    rate = ((column.get("errors_4xx") or 0) + (column.get("errors_5xx") or 0)) / invocations
    return Text(f"{100 * rate:.2f} %", style="red" if rate else "green")


def _line(text: str) -> None:
    out.print(plain(text), soft_wrap=True)


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"


def _p(value: float) -> str:
    """A p-value: more digits help nobody."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
