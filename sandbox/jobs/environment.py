"""Environment variables of jobs: nothing of the developer's own gets in."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from sandbox.jobs.layout import Tree
from sandbox.store import Job, Params, Scope

HOST = "algo-1"
"""Name of a job's first host."""


def base_environment(tree: Tree, gateway_url: str, scope: Scope, *, isolated: bool) -> dict[str, str]:
    """What every job's program has.

    Args:
        tree: Its files.
        gateway_url: The AWS that it may call.
        scope: Account and Region that it calls as.
        isolated: EnableNetworkIsolation: it gets no AWS.
    """
    python = str(Path(sys.executable).parent)
    environment = {
        "PATH": os.pathsep.join([python, "/usr/local/bin", "/usr/bin", "/bin"]),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_REGION": scope.region,
        "AWS_DEFAULT_REGION": scope.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(tree.root / "root"),
        "TMPDIR": str(tree.root / "tmp"),
        "SAGEMAKER_BASE_DIR": str(tree.base),
    }
    if not isolated:
        environment["AWS_ENDPOINT_URL"] = gateway_url
        environment["AWS_ACCESS_KEY_ID"] = scope.account  # a 12-digit key tells the gateway the account
        environment["AWS_SECRET_ACCESS_KEY"] = "sandbox"  # noqa: S105  (nobody checks it)
    return environment


def resource_config(instance_type: str) -> Params:
    """Content of resourceconfig.json."""
    return {
        "current_host": HOST,
        "hosts": [HOST],
        "current_instance_type": instance_type,
        "current_group_name": "homogeneousCluster",
        "instance_groups": [
            {"instance_group_name": "homogeneousCluster", "instance_type": instance_type, "hosts": [HOST]}
        ],
        "network_interface_name": "eth0",
    }


def decoded(value: str) -> Any:
    """A hyperparameter as the framework toolkit reads it: JSON where it is JSON, else the text."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def user_arguments(hyperparameters: dict[str, Any]) -> list[str]:
    """Arguments of a script: ``--name value``, sorted by name, as the framework toolkit passes them."""
    arguments: list[str] = []
    for name in sorted(hyperparameters):
        value = hyperparameters[name]
        arguments += [f"-{name}" if len(name) == 1 else f"--{name}", _text(value)]
    return arguments


def toolkit_environment(
    job: Job, tree: Tree, config: Params, hyperparameters: dict[str, Any], program: str, code: Path
) -> dict[str, str]:
    """SM_* variables of the framework images (SageMaker training toolkit).

    Args:
        job: The job.
        tree: Its files.
        config: Content of inputdataconfig.json.
        hyperparameters: Decoded, without those of the toolkit itself.
        program: File name of the script; empty for images with an entrypoint of their own.
        code: Folder of the script.
    """
    channels = {name: tree.base / "input" / "data" / name for name in config}
    instance_type = job.request["ResourceConfig"].get("InstanceType", "")
    resources = resource_config(instance_type)
    arguments = user_arguments(hyperparameters)
    values: dict[str, Any] = {
        "MODEL_DIR": tree.base / "model",
        "OUTPUT_DIR": tree.base / "output",
        "OUTPUT_DATA_DIR": tree.base / "output" / "data",
        "OUTPUT_INTERMEDIATE_DIR": tree.base / "output" / "intermediate",
        "INPUT_DIR": tree.base / "input",
        "INPUT_CONFIG_DIR": tree.base / "input" / "config",
        "INPUT_DATA_CONFIG": config,
        "CHANNELS": sorted(channels),
        "HPS": hyperparameters,
        "USER_ARGS": arguments,
        "USER_ENTRY_POINT": program,
        "MODULE_NAME": program.removesuffix(".py"),
        "MODULE_DIR": code,
        "HOSTS": [HOST],
        "CURRENT_HOST": HOST,
        "CURRENT_INSTANCE_TYPE": instance_type,
        "RESOURCE_CONFIG": resources,
        "NETWORK_INTERFACE_NAME": "eth0",
        "NUM_CPUS": os.cpu_count() or 1,
        "NUM_GPUS": 0,
        "NUM_NEURONS": 0,
        "LOG_LEVEL": 20,
        **{f"CHANNEL_{name.upper()}": path for name, path in channels.items()},
        **{f"HP_{name.upper().replace('-', '_')}": value for name, value in hyperparameters.items()},
    }
    values["TRAINING_ENV"] = {
        name.lower(): str(value) if isinstance(value, Path) else value for name, value in values.items()
    } | {"channel_input_dirs": {name: str(path) for name, path in channels.items()}, "job_name": job.name}
    return {f"SM_{name}": _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    if isinstance(value, (str, Path)):
        return str(value)
    if isinstance(value, bool):
        return str(value)  # the toolkit writes Python's
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
