"""Sends the same labelled texts to two variants, and counts who was right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from client.ab.labelled import LabelledText
from client.ab.statistics import (
    CONFIDENCE,
    McNemar,
    PairedCounts,
    difference_interval,
    mcnemar,
    texts_to_decide,
    wilson,
)
from client.connection import Connection
from client.errors import UserError
from client.invocation import Target, invoke
from client.payloads import from_texts
from client.predictions import read_predictions

_CALLERS = 8
# texts in one request: the answer is the same as one by one, only sooner
_BATCH = 32
# a plan made from fewer disagreements would be a guess
FEWEST_DISCORDANT = 10


@dataclass(frozen=True)
class Comparison:
    """What two variants made of the same texts.

    Args:
        first: Name of a variant.
        second: Name of the other; differences are its accuracy less that of the first.
        counts: Who was right, over the texts that both answered.
        unanswered: Texts that one of them, or both, did not answer.
        failures: What they were told, and how often.
    """

    first: str
    second: str
    counts: PairedCounts
    unanswered: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def test(self) -> McNemar:
        """McNemar's test."""
        return mcnemar(self.counts)

    @property
    def better(self) -> str | None:
        """The variant that is better beyond doubt; None if the test does not decide."""
        if not self.test.differ:
            return None
        return self.second if self.counts.difference > 0 else self.first

    @property
    def more_texts(self) -> int | None:
        """How many more texts would show the difference that was seen, if it is real (80 % chance).

        None if the test decides, or the models disagree on too few texts to plan with.
        """
        if self.test.differ or self.counts.discordant < FEWEST_DISCORDANT:
            return None
        needed = texts_to_decide(self.counts)
        return None if needed is None else max(0, needed - self.counts.total)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; the difference is in accuracy, 0 to 1."""
        counts, interval = self.counts, difference_interval(self.counts)
        return {
            "texts": counts.total,
            "unanswered": self.unanswered,
            "failures": dict(self.failures.most_common()),
            "variants": {
                name: {
                    "right": right,
                    "accuracy": right / counts.total,
                    "accuracy_interval": [limits.low, limits.high],
                }
                for name, right, limits in self.accuracies()
            },
            "both_right": counts.both_right,
            "only_right": {self.first: counts.first_only, self.second: counts.second_only},
            "both_wrong": counts.both_wrong,
            "mcnemar": {"mid_p": self.test.mid_p, "exact_p": self.test.exact},
            "difference": {
                "of": f"{self.second} - {self.first}",
                "value": counts.difference,
                "interval": [interval.low, interval.high],
            },
            "confidence": CONFIDENCE,
            "better": self.better,
            "more_texts": self.more_texts,
        }

    def accuracies(self) -> Iterator[tuple[str, int, Any]]:
        """Name, texts on which it was right, and Wilson's interval of the accuracy, of each variant."""
        counts = self.counts
        for name, right in ((self.first, counts.first_right), (self.second, counts.second_right)):
            yield name, right, wilson(right, counts.total)


def compare(
    connection: Connection,
    endpoint_name: str,
    variants: tuple[str, str],
    rows: Sequence[LabelledText],
    on_progress: Callable[[int], None] = lambda texts: None,
) -> Comparison:
    """Send every text to both variants, past the traffic weights, several requests at a time.

    Args:
        connection: Where to.
        endpoint_name: Which endpoint.
        variants: Two of its production variants.
        rows: The texts and their labels; at least one.
        on_progress: Told how many more texts a variant has answered, as they come.

    Raises:
        UserError: No text was answered by both, or no answer has one of the file's labels.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: Requests do not get there.
    """
    answers = _Answers(connection, endpoint_name, [row.text for row in rows])
    pool = ThreadPoolExecutor(_CALLERS)
    try:
        calls: list[Future[int]] = [
            pool.submit(answers.ask, variant, range(start, min(start + _BATCH, len(rows))))
            for start in range(0, len(rows), _BATCH)
            for variant in variants
        ]
        for call in as_completed(calls):
            on_progress(call.result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return _count(variants, rows, answers)


class _Answers:
    """Labels by variant and number of the text."""

    def __init__(self, connection: Connection, endpoint_name: str, texts: Sequence[str]) -> None:
        self._connection = connection
        self._endpoint_name = endpoint_name
        self._texts = texts
        self.labels: dict[tuple[str, int], str] = {}
        self.failures: list[str] = []  # appended to by several threads
        connection.client("sagemaker-runtime")  # made here, and not by several threads at a time

    def ask(self, variant: str, numbers: range) -> int:
        """Ask a variant about some texts; one that it refuses is found by asking one by one."""
        try:
            self._ask(variant, numbers)
        except UserError as error:
            if len(numbers) == 1:
                self.failures.append(f"{variant}: {error.message}")
                return 1
            for number in numbers:
                self.ask(variant, range(number, number + 1))
        return len(numbers)

    def _ask(self, variant: str, numbers: range) -> None:
        target = Target(self._endpoint_name, variant, "application/json")
        answer = invoke(self._connection, target, from_texts([self._texts[number] for number in numbers]))
        predictions = read_predictions(answer.body, answer.content_type)
        if predictions is None or len(predictions) != len(numbers):
            raise UserError(f"It answered {answer.body[:200].decode(errors='replace')!r}, which is no labels")
        for number, prediction in zip(numbers, predictions, strict=True):
            self.labels[variant, number] = prediction.label


def _count(variants: tuple[str, str], rows: Sequence[LabelledText], answers: _Answers) -> Comparison:
    first, second = variants
    seen: Counter[tuple[bool, bool]] = Counter()
    for number, row in enumerate(rows):
        one, other = answers.labels.get((first, number)), answers.labels.get((second, number))
        if one is not None and other is not None:
            seen[one == row.label, other == row.label] += 1
    answered = seen.total()
    if not answered:
        raise UserError("No text was answered by both variants", f"For example, {answers.failures[0]}")
    known, given = {row.label for row in rows}, set(answers.labels.values())
    if not known & given:
        raise UserError(
            f"The file's labels ({_some(known)}) are none that the variants answer ({_some(given)})",
            "Write the labels as the models do.",
        )
    counts = PairedCounts(seen[True, True], seen[True, False], seen[False, True], seen[False, False])
    return Comparison(first, second, counts, len(rows) - answered, Counter(answers.failures))


def _some(labels: set[str]) -> str:
    return ", ".join(sorted(labels)[:5])
