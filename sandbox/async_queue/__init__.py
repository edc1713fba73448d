"""Asynchronous inference: a queue for each endpoint, on disk, and what works on it.

`service` makes the queues and takes requests in, `queue` is the queue of one endpoint and gives each request
its one ending, `journal` keeps it on disk, `work` does what there is to do for a request, by `exchange` with
the containers and by `objects` with S3; `notices` tells SNS, `measures` CloudWatch; `request` and `locations`
say what a request is and where its objects are.
"""

from sandbox.async_queue.request import Submission
from sandbox.async_queue.service import AsyncQueues, TopicRefused

__all__ = ["AsyncQueues", "Submission", "TopicRefused"]
