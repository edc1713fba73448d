"""Processing and training jobs: one process each, with the documented files and environment of its container.

`service` keeps the running jobs; `processing` and `training` say what a job of their kind reads, runs and
writes; `work` is one job from its inputs to its outputs. Below them: `layout` is the container's own tree in
place of ``/opt/ml``, `data` moves objects, `environment` makes the variables, `process` runs the program,
`images` says of which images, `metrics` finds values in its output.
"""

from sandbox.jobs.service import Jobs

__all__ = ["Jobs"]
