"""Lands one part in a process of its own, as a function does; prints its seconds and its peak of memory."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "model_code" / "batch"))


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def main() -> None:
    """Land what the event in the first argument names."""
    import land

    event = json.loads(sys.argv[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    report = land.handler(event, _Context())
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "before_mb": before / 1024, "peak_mb": peak / 1024, **report}))


if __name__ == "__main__":
    main()
