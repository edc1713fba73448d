"""Multi-container endpoint: up to 15 models side by side on each instance, each called by its name."""

from __future__ import annotations

from typing import ClassVar

from sagemaker_serving.model import ContainerInvocation

from .several_containers import SeveralContainersStack


class MultiContainerEndpoint(SeveralContainersStack):
    """Multi-container endpoint: several models on the same instances, each invoked by its hostname."""

    pattern: ClassVar[str] = "multi-container"
    invocation: ClassVar[ContainerInvocation] = ContainerInvocation.DIRECT
