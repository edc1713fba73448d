"""The command's steps: what can be refused without torch is refused before torch is even imported."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from conversion.directory import check_output
from conversion.findings import ExportRefused
from conversion.source import open_source
from conversion.texts import read_texts

_REVIEWS = Path(__file__).with_name("reviews.txt")


def run(options: argparse.Namespace) -> int:
    """Export as the command line says; return the exit status, with one line of reasons if it is refused.

    Raises:
        ImportError: The packages of the export are not installed.
    """
    try:
        check_output(options.output)
        texts = read_texts(options.texts or _REVIEWS, options.most_texts)
        source = open_source(options.model, options.revision, options.labels, options.max_length)
        if not options.check:
            print(f"{source.name}: {source.architecture}, labels {', '.join(source.labels)}", flush=True)
            from conversion.exporting import export

            export(source, texts, options.precision, options.output)
    except (ExportRefused, OSError) as refusal:
        print(f"export.py: {refusal}", file=sys.stderr)
        return 1
    return 0
