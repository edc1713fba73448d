"""Where the files of a job are, and the ranges that its workers take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from environment import settings
from objects import Location

MAX_JOB_NAME = 63


@dataclass(frozen=True, kw_only=True)
class Range:
    """Bytes of an input object for one worker: the lines that begin in them.

    Args:
        index: Position among all ranges of the job; parts are numbered by it.
        bucket: Bucket of the object.
        key: Key of the object.
        etag: ETag of the object when it was claimed.
        start: First byte.
        end: Byte after the last one.
        size: Bytes of the object.
        format: ``jsonl``, ``csv`` or ``tsv``.
        gzip: Whether the object is compressed; its only range is the whole of it.
        header: Columns of a delimited file, in order.
        problem: Why the object cannot be read at all; empty when it can.
    """

    index: int
    bucket: str
    key: str
    etag: str
    start: int
    end: int
    size: int
    format: str
    gzip: bool = False
    header: tuple[str, ...] = ()
    problem: str = ""

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Range:
        """From an item of ``ranges.json``."""
        return cls(**{**document, "header": tuple(document.get("header", ()))})

    def as_dict(self) -> dict[str, Any]:
        """An item of ``ranges.json``."""
        return asdict(self)

    @property
    def source(self) -> str:
        """The object's URI."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def part(self) -> str:
        """Name of the files of this range, without an ending."""
        return f"part-{self.index:06d}"


class Files:
    """Where the files of a job are.

    Args:
        job_name: The job.
    """

    def __init__(self, job_name: str) -> None:
        self.job_name = job_name
        self._work = Location(settings().work_bucket, f"work/{job_name}/")
        self._output = Location(settings().output_bucket, f"output/{job_name}/")
        self._quarantine = Location(settings().output_bucket, f"quarantine/{job_name}/")

    @property
    def ranges(self) -> Location:
        """The plan: a JSON list of ranges."""
        return self._work / "ranges.json"

    @property
    def claims(self) -> Location:
        """The claims that this job holds: a JSON object, from the URI of an object to the claim on it."""
        return self._work / "claims.json"

    @property
    def prepared_folder(self) -> Location:
        """The folder of rows that are fit for the model: input of the transform job."""
        return self._work / "prepared/"

    @property
    def output_folder(self) -> Location:
        """The folder of what the model answered: output of the transform job."""
        return self._output

    @property
    def report(self) -> Location:
        """What came of the job."""
        return self._output / "report.json"

    @property
    def quarantine(self) -> Location:
        """All rows that were set aside, with lines counted from the beginning of their file."""
        return Location(settings().output_bucket, f"quarantine/{self.job_name}.jsonl")

    def prepared(self, part: str) -> Location:
        """A part's rows, fit for the model."""
        return self.prepared_folder / f"{part}.jsonl"

    def sources(self, part: str) -> Location:
        """Where each of a part's rows came from: offset, line in the range, digest of its text."""
        return self._work / f"sources/{part}.txt"

    def answers(self, part: str) -> Location:
        """What the model said to a part's rows."""
        return self._output / f"{part}.jsonl.out"

    def prepare_report(self, part: str) -> Location:
        """What came of a range before the model."""
        return self._work / f"prepared-reports/{part}.json"

    def land_report(self, part: str) -> Location:
        """What came of a part after the model."""
        return self._work / f"landed-reports/{part}.json"

    def set_aside(self, state: str, part: str) -> Location:
        """Rows of a part that were set aside, with lines counted from the beginning of the range."""
        return self._quarantine / f"{state}/{part}.jsonl"
