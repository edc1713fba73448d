"""Lands one part in a process of its own, as a function does; prints its seconds and its peak of memory."""

from __future__ import annotations

import json
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
    started = time.perf_counter()
    report = land.handler(event, _Context())
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_mb": _peak_kb() / 1024, **report}))


def _peak_kb() -> int:
    # not getrusage's ru_maxrss, which Linux begins with the peak of the process that started this one
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
