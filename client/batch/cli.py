"""`python -m client batch`: files of rows through a batch workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.connection import Connection
from client.errors import UserError
from client.options import Json, Stack, check_picture, duration
from client.output import err, print_json
from client.patterns import find_pattern

app = typer.Typer(
    no_args_is_help=True, help="Batch inference: a file of rows in, each row in the table once, and counted."
)

Pattern = Annotated[str, typer.Option("--pattern", help="The pattern with the batch workflow.")]
DEFAULT_PATTERN = "batch"
_SHOWN = 5


@app.command()
def run(
    file: Annotated[
        str,
        typer.Argument(
            help="Rows: .jsonl, or .csv, .tsv, .txt (tabs) with a header; each also .gz. Or what is in S3 "
            "already: s3://, an object, a folder that ends in a slash, a manifest."
        ),
    ],
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Column with the known label. Default: label, if there is one.", show_default=False
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Save the confusion matrix here (PNG); by default beside the file.", show_default=False
        ),
    ] = None,
    no_picture: Annotated[
        bool, typer.Option("--no-picture", help="Save no picture.", show_default=False)
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Score anew what was scored before.", show_default=False)
    ] = False,
    timeout: Annotated[
        float, typer.Option(parser=duration, metavar="DURATION", help="How long to wait: 90s, 20m, 12h.")
    ] = "12h",  # type: ignore[assignment]  # typer parses the default, too
    as_json: Json = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Upload, start, follow, count, compare with known labels: exit status 1 if it failed."""
    from client.batch.following import follow
    from client.batch.places import Workflow
    from client.batch.quarantine import set_aside
    from client.batch.run import label_file, send_file
    from client.batch.sending import start
    from client.batch.view import following, show_confusion, show_ending
    from client.s3 import Place

    _check_picture(picture, no_picture)
    connection = Connection()
    workflow = Workflow.of(find_pattern(connection, pattern, stack))
    rows = None if file.startswith("s3://") else send_file(connection, workflow, Path(file), label_column)
    if rows is None and label_column:
        raise UserError(
            "--label-column is for a file on this machine", "Leave it out, or name the file itself."
        )
    uri = str(rows.place) if rows else file
    execution = start(connection, workflow, uri, force=force)
    err.print(f"{uri}: execution {execution.name}", soft_wrap=True, markup=False)
    with following() as draw:
        ending = follow(connection, workflow, execution, timeout=timeout, on_progress=draw)
    compared = None
    if ending.ok and rows and rows.label_column:
        compared = label_file(connection, workflow, rows, picture=picture, draw=not no_picture)
    aside = []
    if ending.report.get("quarantine_uri"):
        aside = set_aside(connection, Place.parse(ending.report["quarantine_uri"]), _SHOWN)
    if as_json:
        print_json(
            {
                **ending.as_dict(),
                "set_aside": [vars(row) for row in aside],
                "accuracy": compared.confusion.as_dict() if compared else None,
                "picture": str(compared.picture) if compared and compared.picture else None,
            }
        )
    else:
        show_ending(ending, aside)
        if compared:
            show_confusion(compared.confusion, str(compared.picture or ""))
    if not ending.ok:
        raise typer.Exit(1)


@app.command()
def query(
    ids: Annotated[list[str], typer.Argument(help="Ids of rows.")],
    as_json: Json = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Look rows up by their ids: exit status 1 if one is not there."""
    from client.batch.records import CHUNK, ScoredRow, look_up
    from client.batch.view import show_row

    connection = Connection()
    deployed = find_pattern(connection, pattern, stack)
    found: dict[str, ScoredRow] = {}
    for begin in range(0, len(ids), CHUNK):
        found |= look_up(connection, deployed, ids[begin : begin + CHUNK])
    if as_json:
        print_json([found[one].as_dict() if one in found else None for one in ids])
    else:
        for one in ids:
            if one in found:
                show_row(found[one])
    missing = [one for one in ids if one not in found]
    if missing:
        raise UserError(
            f"No row has the id {', '.join(map(repr, missing[:_SHOWN]))}"
            + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""),
            "It was set aside, or never sent: client batch report JOB shows what was set aside.",
        )


@app.command()
def report(
    job: Annotated[str, typer.Argument(help="The job, as `status` and `query` name it.")],
    count: Annotated[int, typer.Option(min=0, help="How many rows that were set aside to show.")] = 20,
    as_json: Json = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Show what was counted of a job, and which rows were set aside."""
    from client.batch.places import Workflow
    from client.batch.quarantine import read_report, set_aside
    from client.batch.view import show_report
    from client.s3 import Place

    connection = Connection()
    workflow = Workflow.of(find_pattern(connection, pattern, stack))
    counted = read_report(connection, workflow, job)
    uri = counted.get("quarantine_uri")
    aside = set_aside(connection, Place.parse(uri), count) if uri and count else []
    if as_json:
        print_json({**counted, "set_aside": [vars(row) for row in aside]})
    else:
        show_report(counted, aside)


@app.command()
def status(
    count: Annotated[int, typer.Option(min=1, max=100, help="How many executions to show.")] = 10,
    as_json: Json = False,
    pattern: Pattern = DEFAULT_PATTERN,
    stack: Stack = None,
) -> None:
    """Show the last executions: exit status 2 if the last one failed."""
    from client.batch.places import Workflow
    from client.batch.state import workflow_problems, workflow_status
    from client.batch.view import show_workflow

    connection = Connection()
    workflow = Workflow.of(find_pattern(connection, pattern, stack))
    seen = workflow_status(connection, workflow.state_machine_arn, count=count)
    if as_json:
        print_json(seen.as_dict())
    else:
        show_workflow(seen)
    problems = workflow_problems(seen)
    for problem in problems:
        err.print(problem, soft_wrap=True, markup=False)
    if problems:
        raise typer.Exit(2)


def _check_picture(picture: Path | None, no_picture: bool) -> None:
    if picture is None:
        return
    if no_picture:
        raise UserError("Both --picture and --no-picture were given", "Give one of them.")
    check_picture("--picture", picture)
