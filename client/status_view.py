"""Shows the state of deployed patterns to a person."""

from __future__ import annotations

from collections import Counter

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from client.output import out, plain
from client.status import AlarmStatus, EndpointStatus, PatternStatus, VariantStatus

_STATE_STYLES = {"OK": "green", "ALARM": "bold red", "INSUFFICIENT_DATA": "dim"}


def show_status(status: PatternStatus) -> None:
    """One pattern: a headline, first of all what is wrong, its endpoint, its alarms."""
    deployed = status.deployed
    verdict = ("problem", "bold red") if status.problems else ("ok", "bold green")
    environment = f", {deployed.environment}" if deployed.environment else ""
    _line(
        (deployed.pattern, "bold"),
        f"  stack {deployed.stack_name}{environment}: ",
        _stack(status),
        "  ",
        verdict,
    )
    for problem in status.problems:
        _line(("  ! ", "bold red"), (plain(problem).plain, "red"))
    if status.endpoint:
        _show_endpoint(status.endpoint)
    if status.alarms:
        _show_alarms(deployed.stack_name, status.alarms)
    for note in status.notes:
        _line(("  not shown: ", "dim"), plain(note))
    out.print()


def _line(*parts: str | Text | tuple[str, str]) -> None:
    """A line that the terminal may wrap, so that names can be copied whole."""
    out.print(Text.assemble(*parts), soft_wrap=True)


def _stack(status: PatternStatus) -> tuple[str, str]:
    name = status.deployed.stack_status
    bad = "ROLLBACK" in name or name.endswith("_FAILED")
    return name, "red" if bad else "yellow" if name.endswith("_IN_PROGRESS") else "green"


def _show_endpoint(endpoint: EndpointStatus) -> None:
    style = (
        "green" if endpoint.status == "InService" else "yellow" if endpoint.status.endswith("ing") else "red"
    )
    _line("  endpoint  ", endpoint.name, "  ", (endpoint.status, style))
    if endpoint.serving_config == endpoint.expected_config:
        _line(f"  serves    {endpoint.serving_config}, as the stack expects")
    else:
        _line("  serves    ", (str(endpoint.serving_config), "" if endpoint.update else "red"))
        _line(f"  expected  {endpoint.expected_config}")
    if endpoint.update:
        stages = ", ".join(
            f"{variant['name']} {'/'.join(variant['stages']) or '-'}"
            f" {variant['instances'] or 0}/{variant['desired_instances'] or 0} instances"
            for variant in endpoint.update["variants"]
        )
        _line((f"  updating  to {endpoint.update['config']}: {stages}", "yellow"))
    if endpoint.variants:
        out.print(Padding(_variants(endpoint.variants), (0, 0, 0, 2)))


def _variants(variants: list[VariantStatus]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in (
        "variant",
        "weight",
        "instances",
        "scales",
        "last hour",
        "4xx",
        "5xx",
        "p50 ms",
        "p99 ms",
    ):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    for one in variants:
        hour = one.last_hour
        table.add_row(
            one.name,
            _moving(one.weight, one.desired_weight),
            _moving(one.instances, one.desired_instances),
            f"{one.scaling[0]}-{one.scaling[1]}" if one.scaling else "-",
            _figure(hour.get("invocations"), 0),
            _figure(hour.get("errors_4xx"), 0),
            _figure(hour.get("errors_5xx"), 0),
            _figure(hour.get("model_latency_p50_ms"), 1),
            _figure(hour.get("model_latency_p99_ms"), 1),
        )
    return table


def _moving(current: float | None, desired: float | None) -> str:
    """A value, and the one that it is going to."""
    if current is None:
        return "-"
    return f"{current:g}" if desired in (None, current) else f"{current:g} -> {desired:g}"


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _show_alarms(stack_name: str, alarms: list[AlarmStatus]) -> None:
    """How many are in which state, and those that want attention."""
    parts: list[str | tuple[str, str]] = ["  alarms    "]
    for state, count in Counter(alarm.state for alarm in alarms).most_common():
        parts += [(f"{count} {state}", _STATE_STYLES.get(state, "")), "  "]
    _line(*parts)
    for alarm in alarms:
        if alarm.state == "ALARM":
            name = alarm.name.removeprefix(f"{stack_name}-")
            _line(("            ", ""), (name, "red"), ": ", plain(alarm.reason))
