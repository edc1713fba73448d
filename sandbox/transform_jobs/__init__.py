"""Batch transform: a job starts instances, sends them the records of S3 objects, writes one output for each.

`service` keeps the running jobs, `run` is one of them from its first instance to its last, `transform` turns
one object into one output. Below them: `objects` lists, reads and writes in S3, `records` cuts an object into
requests, `processing` and `paths` filter and join, `model_client` asks the containers, `settings` decides
sizes and numbers, `launcher` starts instances, `measures` and `data_log` tell how it goes.
"""

from sandbox.transform_jobs.service import TransformJobs

__all__ = ["TransformJobs"]
