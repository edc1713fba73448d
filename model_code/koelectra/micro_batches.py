"""Requests that come at the same time, computed together.

For servers that run several requests at once in one process (threads). AWS's model servers run one request
per process and have batching of their own. Off unless asked for: a request that comes alone waits in vain.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

#: Texts after which nobody waits for more.
MOST_TEXTS = 32


class MicroBatches(Generic[Answer]):
    """Gathers the texts of several callers, and gives each caller the answers to its own.

    The first caller waits for others, computes for all, and hands out the answers; while it computes, the
    next one gathers. So there is no thread of its own to start or to end.

    Args:
        compute: Gives an answer per text, in order; may be called by several threads at once.
        wait: Seconds that the first caller waits for others.
        most: Texts after which it waits no longer. A request of more is computed as it is.
    """

    def __init__(
        self, compute: Callable[[Sequence[str]], list[Answer]], wait: float, most: int = MOST_TEXTS
    ) -> None:
        self._compute = compute
        self._wait = wait
        self._most = most
        self._changed = threading.Condition()
        self._waiting: list[tuple[Sequence[str], Future[list[Answer]]]] = []

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return the answers to the texts, in order.

        Raises:
            Exception: Whatever `compute` raised for the texts, computed by themselves.
        """
        own: Future[list[Answer]] = Future()
        with self._changed:
            self._waiting.append((texts, own))
            leads = len(self._waiting) == 1
            self._changed.notify_all()
        if leads:
            self._answer(self._gathered())
        return own.result()

    def _gathered(self) -> list[tuple[Sequence[str], Future[list[Answer]]]]:
        deadline = time.monotonic() + self._wait
        with self._changed:
            while sum(len(texts) for texts, _ in self._waiting) < self._most:
                if not self._changed.wait(deadline - time.monotonic()):
                    break
            gathered, self._waiting = self._waiting, []
            return gathered

    def _answer(self, gathered: list[tuple[Sequence[str], Future[list[Answer]]]]) -> None:
        try:
            answers = self._compute([text for texts, _ in gathered for text in texts])
        except Exception as error:
            if len(gathered) == 1:
                gathered[0][1].set_exception(error)
                return
            # one request must not fail for another's sake
            for request in gathered:
                self._answer([request])
            return
        begin = 0
        for texts, caller in gathered:
            caller.set_result(answers[begin : begin + len(texts)])
            begin += len(texts)
