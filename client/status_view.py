"""Shows the state of deployed patterns to a person."""

from __future__ import annotations

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from client.output import out, plain
from client.status import AlarmStatus, EndpointStatus, PatternStatus, VariantStatus

_STATE_STYLES = {"OK": "green", "ALARM": "bold red", "INSUFFICIENT_DATA": "dim"}


def show_status(status: PatternStatus) -> None:
    """One pattern: a headline, its endpoint, its alarms, and first of all what is wrong."""
    deployed = status.deployed
    verdict = Text("problem", style="bold red") if status.problems else Text("ok", style="bold green")
    environment = f", {deployed.environment}" if deployed.environment else ""
    out.print(
        Text.assemble(
            (deployed.pattern, "bold"), f"  stack {deployed.stack_name}{environment}: ", *_stack(status)
        ),
        " ",
        verdict,
        soft_wrap=True,
    )
    for problem in status.problems:
        out.print(
            Text.assemble(("  ! ", "bold red"), Text(plain(problem).plain, style="red")), soft_wrap=True
        )
    if status.endpoint:
        out.print(Padding(_endpoint(status.endpoint), (0, 0, 0, 2)))
    if status.alarms:
        out.print(Padding(_alarms(status.alarms), (0, 0, 0, 2)))
    for note in status.notes:
        out.print(Text.assemble(("  not shown: ", "dim"), plain(note)), soft_wrap=True)
    out.print()


def _stack(status: PatternStatus) -> tuple[Text]:
    name = status.deployed.stack_status
    bad = "ROLLBACK" in name or name.endswith("_FAILED")
    return (Text(name, style="red" if bad else "yellow" if name.endswith("_IN_PROGRESS") else "green"),)


def _endpoint(endpoint: EndpointStatus) -> Group:
    style = (
        "green" if endpoint.status == "InService" else "yellow" if endpoint.status.endswith("ing") else "red"
    )
    parts: list[Text | Table] = [Text.assemble("endpoint ", endpoint.name, ": ", (endpoint.status, style))]
    if endpoint.serving_config == endpoint.expected_config:
        parts.append(Text(f"serves   {endpoint.serving_config} (as the stack expects)"))
    else:
        parts.append(Text(f"serves   {endpoint.serving_config}", style="red" if not endpoint.update else ""))
        parts.append(Text(f"expected {endpoint.expected_config}"))
    if endpoint.update:
        stages = ", ".join(
            f"{variant['name']} {'/'.join(variant['stages']) or '-'}"
            f" {variant['instances'] or 0}/{variant['desired_instances'] or 0} instances"
            for variant in endpoint.update["variants"]
        )
        parts.append(Text(f"update to {endpoint.update['config']} under way: {stages}", style="yellow"))
    if endpoint.variants:
        parts.append(_variants(endpoint.variants))
    return Group(*parts)


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


def _alarms(alarms: list[AlarmStatus]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("alarm", overflow="fold")
    table.add_column("state")
    table.add_column("why", overflow="fold")
    for alarm in alarms:
        reason = alarm.reason if alarm.state == "ALARM" else ""
        table.add_row(alarm.name, Text(alarm.state, style=_STATE_STYLES.get(alarm.state, "")), plain(reason))
    return table
