"""Reusable constructs for serving models on Amazon SageMaker."""
