"""Images of jobs: AWS's framework images, whose programs run on this Python."""

from __future__ import annotations

from sandbox.fleet.images import FRAMEWORKS, repository_of
from sandbox.jobs.failures import CLIENT_ERROR, JobFailed

REPOSITORIES = {
    *FRAMEWORKS,
    "pytorch-training",
    "pytorch-training-arm64",
    "pytorch-training-graviton",
    "huggingface-pytorch-training",
    "mxnet-training",
    "sagemaker-base-python",
    "sagemaker-distribution-cpu",
    "sagemaker-distribution-prod",
}
"""Repositories of images that bring Python and start the program of a job."""


def check_image(image: str) -> None:
    """Check that a job's program runs here as in its image, as far as the name tells.

    Raises:
        JobFailed: The sandbox does not run the image.
    """
    if repository_of(image) not in REPOSITORIES:
        raise JobFailed(
            CLIENT_ERROR,
            f"The sandbox does not run image {image}: it runs Python programs of AWS's framework images "
            f"({', '.join(sorted(REPOSITORIES))}), not images built from a Dockerfile.",
        )
