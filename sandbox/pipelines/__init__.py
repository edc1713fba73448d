"""SageMaker Pipelines: definitions are checked, executions carry their steps out.

`service` keeps the running executions, `executor` is one execution from its first step to its last.
`definition` reads and checks a definition, `references` resolves what it refers to, `conditions` decides,
`job_steps` and `lambda_step` call what does a step's work, `caching` and `retries` say when it is not done
or done again, `context` is what references mean in an execution, `changes` tells of statuses, `records` is
what is known of executions.
"""

from sandbox.pipelines.service import PipelineExecutions

__all__ = ["PipelineExecutions"]
