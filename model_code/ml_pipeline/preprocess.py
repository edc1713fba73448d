"""Processing job: raw reviews to a training and a test split, and a report of what was dropped.

Reads ``processing/raw`` below the base directory: files in the format of the Naver Sentiment Movie Corpus,
``id document label``, tab-separated with a header line. Writes ``processing/train/ratings_train.txt``,
``processing/test/ratings_test.txt`` and ``processing/report/preprocessing.json``. The same data give the same
bytes. Only the standard library and `container` are needed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from container import JobError, base_directory

HEADER = "id\tdocument\tlabel"
TRAIN_FILE, TEST_FILE = "ratings_train.txt", "ratings_test.txt"
# more than this share of malformed lines is another format, not noise
LARGEST_MALFORMED_SHARE = 0.1
_EXAMPLES = 10


@dataclass
class Report:
    """What was read, dropped and kept.

    Args:
        read: Lines per file, headers and empty lines at the end excluded.
        dropped: Reason to number of lines.
        examples: The first malformed lines, as ``file:line``.
        kept: Reviews per split.
        positive: Those of them with label 1, per split.
    """

    read: dict[str, int] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)
    positive: dict[str, int] = field(default_factory=dict)


def clean(file: Path, seen: set[str], report: Report) -> Iterator[tuple[str, str, str]]:
    """Yield id, document and label of each usable review of a file.

    Args:
        file: Where it is.
        seen: Ids of reviews that came before; those of this file are added.
        report: Where to count.

    Raises:
        JobError: The file is not UTF-8, or is in another format altogether.
    """
    try:
        lines = file.read_bytes().decode("utf-8-sig").removesuffix("\n").split("\n")[1:]
    except UnicodeDecodeError as error:
        raise JobError(f"{file.name} is not UTF-8: {error}") from None
    report.read[file.name] = len(lines)
    malformed = 0
    for number, line in enumerate(lines, 2):
        fields = line.removesuffix("\r").split("\t")
        if len(fields) != 3 or not fields[0].strip() or fields[2] not in {"0", "1"}:
            malformed += 1
            report.dropped["malformed"] += 1
            if len(report.examples) < _EXAMPLES:
                report.examples.append(f"{file.name}:{number}")
        elif not fields[1].strip():
            report.dropped["empty document"] += 1
        elif fields[0] in seen:
            report.dropped["repeated id"] += 1
        else:
            seen.add(fields[0])
            yield fields[0], fields[1], fields[2]
    if malformed > LARGEST_MALFORMED_SHARE * len(lines):
        raise JobError(
            f"{file.name}: {malformed:,} of {len(lines):,} lines are malformed "
            f"({', '.join(report.examples)}): "
            "expected id, document and label (0 or 1), tab-separated, after a header line"
        )


def in_test_split(identifier: str, share: float) -> bool:
    """Whether a review is for the test: by its id alone, so that new data move no old review."""
    number = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:8], "big")
    return number < share * 2**64


def preprocess(base: Path, test_share: float) -> Report:
    """Do the job.

    Args:
        base: The container's ``/opt/ml``.
        test_share: Share of the reviews that is for the test, if the raw data hold no ratings_test.txt.

    Raises:
        JobError: There are no data, or none that can be trained on.
    """
    raw = base / "processing" / "raw"
    files = sorted([*raw.glob("*.txt"), *raw.glob("*.tsv")])
    if not files:
        raise JobError(f"{raw} holds no *.txt or *.tsv files: is the parameter with the input data right?")
    report, seen = Report(), set[str]()
    splits: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
    given = [file for file in files if file.name == TEST_FILE]
    # the test first: a review that is in both is no training data
    for file in given:
        splits["test"] += clean(file, seen, report)
    for file in files:
        if file in given:
            continue
        for row in clean(file, seen, report):
            testing = not given and in_test_split(row[0], test_share)
            splits["test" if testing else "train"].append(row)
    for split, rows in splits.items():
        labels = Counter(label for _, _, label in rows)
        report.kept[split], report.positive[split] = len(rows), labels["1"]
        if len(labels) != 2:
            raise JobError(
                f"the {split} split has {labels['1']} positive and {labels['0']} negative reviews: need both"
            )
    for split, name in (("train", TRAIN_FILE), ("test", TEST_FILE)):
        folder = base / "processing" / split
        folder.mkdir(parents=True, exist_ok=True)
        content = "".join(line + "\n" for line in [HEADER, *map("\t".join, splits[split])])
        (folder / name).write_bytes(content.encode())
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job; return the exit status."""
    parser = argparse.ArgumentParser(description="Clean and split raw reviews.")
    parser.add_argument("--test-share", type=float, default=0.25, help="if there is no ratings_test.txt")
    options = parser.parse_args(arguments)
    if not 0 < options.test_share < 1:
        parser.error(f"--test-share is {options.test_share:g}: a number between 0 and 1, both excluded")
    base = base_directory()
    try:
        report = preprocess(base, options.test_share)
        folder = base / "processing" / "report"
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(vars(report), ensure_ascii=False, indent=2)
        (folder / "preprocessing.json").write_text(text + "\n", encoding="utf-8")
    except (JobError, OSError) as error:
        print(f"preprocess.py: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
