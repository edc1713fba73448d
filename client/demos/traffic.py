"""Requests at a steady pace while something else happens; each is noted, none is tried again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

from botocore.exceptions import BotoCoreError, ClientError

from client.connection import Connection
from client.errors import UserError
from client.invocation import Target
from client.payloads import Payload

_CALLERS = 8
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Sample:
    """One request.

    Args:
        began: When it began, on the monotonic clock.
        ended: When it ended.
        variant: Who answered; empty if it failed.
        error: What went wrong; empty if nothing.
    """

    began: float
    ended: float
    variant: str
    error: str


class Counts:
    """What became of some requests."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples
        self.variants = Counter(one.variant for one in samples if not one.error)
        self.errors = Counter(one.error for one in samples if one.error)

    @classmethod
    def of_answers(cls, variants: Iterable[str]) -> Counts:
        """Requests that were all answered, by who answered."""
        now = time.monotonic()
        return cls([Sample(now, now, variant, "") for variant in variants])

    @property
    def total(self) -> int:
        """All of them."""
        return len(self.samples)

    @property
    def failed(self) -> int:
        """Those that failed."""
        return self.errors.total()

    def between(self, start: float, end: float) -> Counts:
        """Those that ended in a span of the monotonic clock."""
        return Counts([one for one in self.samples if start <= one.ended <= end])

    def begun_after(self, start: float) -> Counts:
        """Those that began after a moment of the monotonic clock: what was before it cannot show in them."""
        return Counts([one for one in self.samples if one.began > start])

    def per_second(self) -> list[tuple[int, int]]:
        """Requests and failures in each second, from the first to the last."""
        if not self.samples:
            return []
        first = min(one.ended for one in self.samples)
        last = max(one.ended for one in self.samples)
        seconds = [[0, 0] for _ in range(int(last - first) + 1)]
        for one in self.samples:
            second = seconds[int(one.ended - first)]
            second[0] += 1
            second[1] += bool(one.error)
        return [(total, failed) for total, failed in seconds]


class SteadyTraffic:
    """Sends the same request again and again, from a few threads, until the end of the ``with`` block.

    Args:
        connection: Where to send it.
        target: Which endpoint.
        payload: What to send.
        per_second: Requests per second; fewer if the endpoint is too slow for eight callers.
    """

    def __init__(
        self, connection: Connection, target: Target, payload: Payload, *, per_second: float
    ) -> None:
        # a retry would hide a failed request
        self._client = connection.new_client("sagemaker-runtime", attempts=1)
        self._parameters = target.parameters(payload)
        self._pause = _CALLERS / per_second
        self._samples: list[Sample] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(number * self._pause / _CALLERS,), daemon=True)
            for number in range(_CALLERS)
        ]

    def __enter__(self) -> SteadyTraffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if kind is None:
            for thread in self._threads:
                thread.join()
            self._client.close()

    @property
    def mark(self) -> int:
        """How many requests have ended: a place to count from."""
        return len(self._samples)

    def since(self, mark: int = 0) -> Counts:
        """What became of the requests that ended after a mark."""
        return Counts(self._samples[mark:])

    def wait_for(self, requests: int, *, within: float) -> Counts:
        """Let so many requests begin and end from now on; gives those.

        Args:
            requests: How many.
            within: Seconds that this may take.

        Raises:
            UserError: It takes longer.
        """
        mark, now = self.mark, time.monotonic()
        while True:
            counts = self.since(mark).begun_after(now)
            if counts.total >= requests:
                return counts
            if time.monotonic() > now + within:
                raise UserError(
                    f"Only {counts.total} of {requests} requests were answered in {within:g} s",
                    "The endpoint is slow or does not answer; look at its status and logs.",
                )
            time.sleep(_LOOK_SECONDS)

    def _call(self, delay: float) -> None:
        due = time.monotonic() + delay
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self._samples.append(self._request())
            # a slow endpoint makes fewer requests, not a crowd of late ones
            due = max(due + self._pause, time.monotonic() - self._pause)

    def _request(self) -> Sample:
        began = time.monotonic()
        try:
            answer = self._client.invoke_endpoint(**self._parameters)
            answer["Body"].read()
        except ClientError as error:
            status = error.response.get("OriginalStatusCode")
            code = error.response.get("Error", {}).get("Code", "Unknown")
            return Sample(began, time.monotonic(), "", f"{code} (model: {status})" if status else str(code))
        except (BotoCoreError, OSError) as error:
            return Sample(began, time.monotonic(), "", type(error).__name__)
        return Sample(began, time.monotonic(), answer.get("InvokedProductionVariant", ""), "")
