"""Serverless variants: containers on demand, one request each, kept warm for a while.

`size` is a variant's ServerlessConfig, `fleet` starts and ends its containers and decides who waits and who
is throttled, `backoff` slows down models that do not start, `memory` ends containers that take more memory
than they may, `measures` publishes the metrics, `failures` is what a request may meet.
"""

from sandbox.serverless.failures import NoCapacity, NotReady, StartFailed, Throttled
from sandbox.serverless.fleet import ServerlessFleet
from sandbox.serverless.size import ServerlessSize

__all__ = ["NoCapacity", "NotReady", "ServerlessFleet", "ServerlessSize", "StartFailed", "Throttled"]
