"""Ports besides its own that a container may listen on: SAGEMAKER_SAFE_PORT_RANGE.

Containers of one instance share its network, so each needs a range that no other uses
(https://docs.aws.amazon.com/sagemaker/latest/dg/multi-container-direct.html).
"""

from __future__ import annotations

import itertools
import random

from sandbox.ports import is_free

PORTS_EACH = 10
# below the ports that systems give to outgoing connections and to servers that ask for any port
_FIRST, _LAST = 20_000, 32_000


class SafePorts:
    """Gives out ranges of ports in turn, so that a range comes again only after all others."""

    def __init__(self) -> None:
        starts = list(range(_FIRST, _LAST, PORTS_EACH))
        # two sandboxes side by side begin at different places
        offset = random.randrange(len(starts))  # noqa: S311  (no secret)
        self._count = len(starts)
        self._starts = itertools.cycle(starts[offset:] + starts[:offset])

    def take(self) -> range:
        """The next range in which nobody listens.

        Raises:
            OSError: There is none.
        """
        for start in itertools.islice(self._starts, self._count):
            ports = range(start, start + PORTS_EACH)
            if all(map(is_free, ports)):
                return ports
        raise OSError(f"no {PORTS_EACH} free ports in a row between {_FIRST} and {_LAST}")
