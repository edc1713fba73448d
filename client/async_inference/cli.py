"""`python -m client async`: files to an asynchronous endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.connection import Connection
from client.errors import UserError
from client.options import Accept, ContentType, Json, Stack, check_picture, duration
from client.output import err, print_json
from client.patterns import find_pattern

app = typer.Typer(
    no_args_is_help=True, help="Asynchronous inference: files in, notifications awaited, answers out."
)

Pattern = Annotated[str, typer.Option("--pattern", help="The pattern with the asynchronous endpoint.")]
DEFAULT_PATTERN = "async"


@app.command()
def run(
    files: Annotated[list[Path], typer.Argument(help="Files to send, for example videos.")],
    content_type: ContentType = None,
    accept: Accept = "application/jsonlines",
    contact_sheet: Annotated[
        Path | None,
        typer.Option(
            help="Draw the boxes here (PNG); by default beside the file. For one file.", show_default=False
        ),
    ] = None,
    no_contact_sheet: Annotated[
        bool, typer.Option("--no-contact-sheet", help="Draw nothing.", show_default=False)
    ] = False,
    timeout: Annotated[
        float, typer.Option(parser=duration, metavar="DURATION", help="How long to wait: 90s, 20m, 1h.")
    ] = "20m",  # type: ignore[assignment]  # typer parses the default, too
    as_json: Json = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Upload, invoke, wait for the notifications, download, draw: exit status 1 if a request failed."""
    from client.async_inference.answers import write_answer
    from client.async_inference.progress import Instances, telling
    from client.async_inference.results import wait_for_results
    from client.async_inference.sending import Places, check_files, send
    from client.async_inference.view import show_written

    _check_sheet(files, contact_sheet, no_contact_sheet)
    check_files(files)
    connection = Connection()
    deployed = find_pattern(connection, pattern, stack)
    places = Places.of(deployed)
    requests = []
    for file in files:
        request = send(connection, places, file, content_type=content_type, accept=accept)
        err.print(f"{file.name}: accepted as {request.inference_id}", soft_wrap=True, markup=False)
        requests.append(request)
    with telling(connection, deployed, Instances()) as look:
        results = wait_for_results(connection, places, requests, timeout=timeout, on_look=look)
    written = [write_answer(one, draw=not no_contact_sheet, contact_sheet=contact_sheet) for one in results]
    if as_json:
        print_json({"endpoint": places.endpoint_name, "requests": [one.as_dict() for one in written]})
    else:
        for one in written:
            show_written(one)
    if not all(one.result.ok for one in written) or (contact_sheet and written[0].not_drawn):
        raise typer.Exit(1)


@app.command()
def status(as_json: Json = False, pattern: Pattern = DEFAULT_PATTERN, stack: Stack = None) -> None:
    """Show the queue, the instances and the last hour: exit status 2 if the endpoint is not as deployed."""
    from client.async_inference.state import queue_state
    from client.async_inference.view import show_queue

    connection = Connection()
    state = queue_state(connection, find_pattern(connection, pattern, stack))
    if as_json:
        print_json(state.as_dict())
    else:
        show_queue(state)
    if state.problems:
        raise typer.Exit(2)


def _check_sheet(files: list[Path], contact_sheet: Path | None, no_contact_sheet: bool) -> None:
    if contact_sheet is None:
        return
    if no_contact_sheet:
        raise UserError("Both --contact-sheet and --no-contact-sheet were given", "Give one of them.")
    if len(files) > 1:
        raise UserError(
            f"--contact-sheet names one picture, but there are {len(files)} files",
            "Leave it out: each picture is then written beside its file.",
        )
    check_picture("--contact-sheet", contact_sheet)
