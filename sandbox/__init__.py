"""AWS on this machine: SageMaker as real processes, everything else by ministack.

Knows templates and APIs, as AWS does; never imports stacks, constructs or client.
"""
