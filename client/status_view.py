"""Shows the state of deployed patterns to a person."""

from __future__ import annotations

from collections import Counter

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from client.batch.state import WorkflowStatus
from client.functions.state import FunctionStatus
from client.metrics import Figures
from client.output import STATE_STYLES, figure, moving, out, plain
from client.pipeline.state import RegistryStatus
from client.status import AlarmStatus, ContainerStatus, EndpointStatus, PatternStatus, VariantStatus

_FIGURES = ("last hour", "4xx", "5xx", "p50 ms", "p99 ms")
_MODES = {"Direct": "each request names one", "Serial": "each request passes through all, in this order"}


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
    if status.function:
        _show_function(status.function)
    if status.registry:
        _show_registry(status.registry)
    if status.workflow:
        _show_workflow(status.workflow)
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
    if endpoint.follows:
        words = "not there yet: no version was deployed" if endpoint.status == "NotFound" else endpoint.status
        _line("  endpoint  ", endpoint.name, "  ", (words, "" if endpoint.status == "NotFound" else style))
        _show_parts(endpoint)
        return
    _line("  endpoint  ", endpoint.name, "  ", (endpoint.status, style))
    version = f" (version {endpoint.version})" if endpoint.version else ""
    if endpoint.serving_config == endpoint.expected_config:
        _line(f"  serves    {endpoint.serving_config}{version}, as the stack expects")
    else:
        _line("  serves    ", (str(endpoint.serving_config), "" if endpoint.update else "red"))
        _line(f"  expected  {endpoint.expected_config}{version}")
    _show_parts(endpoint)


def _show_parts(endpoint: EndpointStatus) -> None:
    """An update that goes on, variants and containers."""
    if endpoint.update:
        stages = ", ".join(
            f"{variant['name']} {'/'.join(variant['stages']) or '-'}"
            f" {variant['instances'] or 0}/{variant['desired_instances'] or 0} instances"
            for variant in endpoint.update["variants"]
        )
        _line((f"  updating  to {endpoint.update['config']}: {stages}", "yellow"))
    if endpoint.variants:
        out.print(Padding(_variants(endpoint.variants), (0, 0, 0, 2)))
    if endpoint.containers:
        _line(f"  containers, {_MODES.get(endpoint.inference_mode or '', 'several in an instance')}")
        out.print(Padding(_containers(endpoint), (0, 0, 0, 2)))


def _show_function(function: FunctionStatus) -> None:
    bad = function.state in ("NotFound", "Failed")
    style = "green" if function.state == "Active" else "red" if bad else "yellow"
    _line("  function  ", function.name, "  ", (function.state, style))
    _line(f"  alias     {function.alias}, version {function.version or '-'}")
    hour = [f"{figure(count)} {name}" for name, count in function.last_hour.items()]
    if hour:
        _line(f"  last hour {', '.join(hour)}")


def _show_registry(registry: RegistryStatus) -> None:
    live = "no version" if registry.live is None else f"version {registry.live}"
    line = f"  serves    {live} of {registry.versions} in {registry.group}"
    if registry.coming is not None:
        line += f", goes to version {registry.coming}"
    _line((line, "" if registry.agrees else "red"))
    if registry.waiting:
        numbers = ", ".join(map(str, registry.waiting))
        _line((f"  waiting   for approval: {numbers}", "yellow"))
    _line(f"  pipeline  last execution: {registry.last_execution or 'none yet'}")
    if registry.advice:
        _line(("  next      ", "dim"), registry.advice)


def _show_workflow(workflow: WorkflowStatus) -> None:
    style = "green" if workflow.state == "ACTIVE" else "red"
    _line("  workflow  ", workflow.name, "  ", (workflow.state, style))
    for one in workflow.executions[:1]:
        counted = "" if one.landed is None else f", {one.landed:,} rows landed, {one.quarantined:,} set aside"
        _line(f"  last run  {one.name}, by {one.trigger}: ", (one.status, _ended(one.status)), counted)


def _ended(status: str) -> str:
    return {"SUCCEEDED": "green", "RUNNING": "yellow"}.get(status, "red")


def _variants(variants: list[VariantStatus]) -> Table:
    scales = any(one.scaling for one in variants)
    table = _table("variant", "weight", "instances", *(["scales"] if scales else []), *_FIGURES)
    for one in variants:
        table.add_row(
            Text.assemble(one.name, (" (shadow)", "dim")) if one.shadow else one.name,
            moving(one.weight, one.desired_weight),
            moving(one.instances, one.desired_instances),
            *([f"{one.scaling[0]}-{one.scaling[1]}" if one.scaling else "-"] if scales else []),
            *_figures(one.last_hour, "model_latency"),
        )
    return table


def _containers(endpoint: EndpointStatus) -> Table:
    several = len(endpoint.production_variants) > 1
    table = _table("container", *_FIGURES)
    for one in endpoint.containers:
        table.add_row(_name(one, several), *_figures(one.last_hour, "latency"))
    return table


def _name(container: ContainerStatus, several: bool) -> str:
    return f"{container.variant}/{container.hostname}" if several else container.hostname


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _figures(hour: Figures, latency: str) -> list[str]:
    """The cells of `_FIGURES`."""
    return [
        figure(hour.get("invocations"), 0),
        figure(hour.get("errors_4xx"), 0),
        figure(hour.get("errors_5xx"), 0),
        figure(hour.get(f"{latency}_p50_ms"), 1),
        figure(hour.get(f"{latency}_p99_ms"), 1),
    ]


def _show_alarms(stack_name: str, alarms: list[AlarmStatus]) -> None:
    """How many are in which state, and those that want attention."""
    parts: list[str | tuple[str, str]] = ["  alarms    "]
    for state, count in Counter(alarm.state for alarm in alarms).most_common():
        parts += [(f"{count} {state}", STATE_STYLES.get(state, "")), "  "]
    _line(*parts)
    for alarm in alarms:
        if alarm.state == "ALARM":
            name = alarm.name.removeprefix(f"{stack_name}-")
            _line(("            ", ""), (name, "red"), ": ", plain(alarm.reason))
