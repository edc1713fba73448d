"""SageMaker Pipelines: executions started, followed step by step, and drawn."""
