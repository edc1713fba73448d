"""SageMaker's control plane: models, endpoint configurations, endpoints, tags, registry groups, pipelines."""

from sandbox.control_plane.api import ControlPlane

__all__ = ["ControlPlane"]
