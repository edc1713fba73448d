"""SageMaker Runtime on a listener of its own: invocations, whole and streamed."""

from sandbox.runtime.listener import RuntimeListener

__all__ = ["RuntimeListener"]
