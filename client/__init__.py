"""Talks to what was deployed, on AWS and in the sandbox alike, with boto3 only: `python -m client`."""
