"""Endpoints come, change and go: fleets are started, traffic is shifted, what fails is rolled back."""

from sandbox.deployments.service import Deployments

__all__ = ["Deployments"]
