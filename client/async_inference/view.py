"""Shows asynchronous requests, their ends, and the queue to a person."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from client.async_inference.answers import Written
from client.async_inference.results import FAILED
from client.async_inference.state import QueueState
from client.detections import Detections
from client.output import figure, moving, out, plain

_STRETCHES = 6


def show_written(written: Written) -> None:
    """How a request ended, and where its answer lies."""
    result = written.result
    style = "green" if result.ok else "bold red"
    name = plain(result.request.file.name)
    out.print(
        Text.assemble(name, "  ", (result.status, style), f"  after {result.seconds:.1f} s"), soft_wrap=True
    )
    if result.reason:
        _line("reason", result.reason)
    if result.status == FAILED and result.body:
        _line("failure", result.request.failure_uri)
    if result.ok:
        _line("output", result.request.output_uri)
        if result.note:
            _line("note", result.note)
    if written.detections:
        _line("found", found_words(written.detections))
    if written.answer:
        _line("answer", str(written.answer))
    if written.contact_sheet:
        _line("picture", str(written.contact_sheet))
    if written.not_drawn:
        _line("no picture", written.not_drawn)


def found_words(detections: Detections) -> str:
    """What was found, in a few words."""
    boxes = sum(len(frame.detections) for frame in detections.frames)
    return f"{detections.objects} objects, {boxes:,} boxes in {len(detections.frames):,} frames"


def detections_table(detections: Detections) -> Table:
    """The clip in a few stretches: how much was found in each."""
    table = Table(header_style="bold")
    table.add_column("frames")
    for heading in ("seconds", "objects per frame", "tracks", "mean score"):
        table.add_column(heading, justify="right")
    frames = detections.frames
    stretches = min(_STRETCHES, len(frames))
    for number in range(stretches):
        part = frames[number * len(frames) // stretches : (number + 1) * len(frames) // stretches]
        found = [one for frame in part for one in frame.detections]
        scores = [one.score for one in found]
        table.add_row(
            f"{part[0].index}-{part[-1].index}",
            f"{part[0].time:.1f}-{part[-1].time:.1f}",
            f"{len(found) / len(part):.1f}",
            str(len({one.track for one in found})),
            f"{sum(scores) / len(scores):.2f}" if scores else "-",
        )
    return table


def show_queue(state: QueueState) -> None:
    """The queue, the instances, the last hour."""
    endpoint, queue, hour = state.endpoint, state.queue, state.last_hour
    out.print(Text.assemble(endpoint.name, "  ", (endpoint.status, "bold")), soft_wrap=True)
    for problem in state.problems:
        out.print(Text.assemble(("  ! ", "bold red"), (plain(problem).plain, "red")), soft_wrap=True)
    backlog = queue.get("backlog")
    oldest = queue.get("oldest_seconds")
    age = f", the oldest for {oldest:,.0f} s" if backlog and oldest is not None else ""
    _line("backlog", f"{figure(backlog)} requests wait or are worked on{age}")
    for one in endpoint.production_variants:
        _line("instances", f"{one.name}: {moving(one.instances, one.desired_instances)}")
    if not state.instances and endpoint.status == "InService":
        _line("", "asleep: the next request starts an instance")
    counts = [f"{figure(hour.get(key))} {key}" for key in ("processed", "failed", "expired")]
    _line("last hour", ", ".join(counts))


def waiting_words(waiting: int, instances: int | None) -> str:
    """What is being waited for."""
    requests = "1 request" if waiting == 1 else f"{waiting} requests"
    if instances is None:
        return f"waiting for {requests}"
    if not instances:
        return f"waiting for {requests}: the endpoint is asleep, an instance is being started"
    return f"waiting for {requests}: {instances} {'instance' if instances == 1 else 'instances'} at work"


def _line(name: str, words: str) -> None:
    out.print(Text.assemble((f"  {name:<11}", "dim"), plain(words)), soft_wrap=True)
