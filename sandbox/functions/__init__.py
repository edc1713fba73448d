"""Lambda functions from container images, without docker.

`docker` stands in for docker when the CDK CLI builds an image: `dockerfile` reads the Dockerfile, `commands`
its RUN lines, `layout` lays its files out, `packages` compares its packages with this environment's, `images`
keeps what comes out. `service` takes calls and finds an `environment` for each in the `pool` of its version:
a process of `runtime_client`, which gets its events from `runtime_api`; `output` and `reports` are its logs
and metrics, `calls` what goes in and out. `signature` checks requests to HTTP fronts.
"""
