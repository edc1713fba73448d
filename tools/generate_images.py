"""Write the table of AWS's framework images, as the SageMaker Python SDK knows them.

The SDK is large and stays off the synth path, so it is installed apart and only to run this:

    make sdk
    .cache/sdk/bin/python tools/generate_images.py          # or --check: only tell whether anything changed

Every tag and account is what the SDK's own look-up answers; nothing is put together here.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

# The SDK asks for these at import; nothing here calls AWS.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")

from sagemaker.core import common_utils, image_uris

# the SDK reads botocore's table of endpoints for each of 1,600 look-ups: a minute and a half
common_utils._botocore_resolver = functools.cache(common_utils._botocore_resolver)

TABLE = Path(__file__).resolve().parents[1] / "constructs" / "sagemaker_serving" / "images.json"

# Framework -> the account that publishes its images, and the oldest version worth offering.
FRAMEWORKS = {
    "sklearn": ("algorithms", "1.0"),
    "xgboost": ("algorithms", "1.5"),
    "pytorch": ("deep-learning-containers", "2.0"),
    "huggingface": ("deep-learning-containers", "4.37"),
}
# Processor -> an instance type that has it, and the SDK's name for what the image is for.
PROCESSORS = {
    "cpu": ("ml.m5.large", "inference"),
    "gpu": ("ml.g5.xlarge", "inference"),
    "graviton": ("ml.m6g.large", "inference_graviton"),
}
URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[^/]+/(?P<repository>[^:]+):(?P<tag>.+)"
)


def table() -> dict[str, Any]:
    """Accounts per publisher and Region, and repository and tag per framework, version and processor."""
    registries: dict[str, dict[str, str]] = {}
    images: dict[str, dict[str, dict[str, Any]]] = {}
    for framework, (publisher, oldest) in FRAMEWORKS.items():
        for version, processor, found in _images(framework, oldest):
            for region, account in found.pop("accounts").items():
                known = registries.setdefault(publisher, {}).setdefault(region, account)
                if known != account:
                    raise SystemExit(f"{publisher} has accounts {known} and {account} in {region}")
            found["publisher"] = publisher
            images.setdefault(framework, {}).setdefault(version, {})[processor] = found
    for versions in images.values():
        for processors in versions.values():
            for found in processors.values():
                regions = set(registries[found["publisher"]])
                missing = sorted(regions - found.pop("regions"))
                if missing:
                    found["not_in"] = missing
    source = f"sagemaker {importlib.metadata.version('sagemaker')}"
    return {"source": source, "registries": registries, "images": images}


def render() -> str:
    """The table as the text of its file: a line per image and per publisher, so that a change reads well."""
    made = table()
    registries = ",\n".join(_line(name, accounts) for name, accounts in sorted(made["registries"].items()))
    frameworks = ",\n".join(
        f'"{framework}": {{\n'
        + ",\n".join(_line(version, found) for version, found in versions.items())
        + "\n}"
        for framework, versions in sorted(made["images"].items())
    )
    source = json.dumps(made["source"])
    return (
        f'{{\n"source": {source},\n"registries": {{\n{registries}\n}},\n"images": {{\n{frameworks}\n}}\n}}\n'
    )


def _line(key: str, value: dict[str, Any]) -> str:
    return f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}"


def _images(framework: str, oldest: str) -> list[tuple[str, str, dict[str, Any]]]:
    config = image_uris.config_for_framework(framework)
    found = []
    for processor, (instance_type, scope) in PROCESSORS.items():
        # Asked for a Graviton image that does not exist, the SDK answers with the x86 one.
        versions = config.get(scope, {}).get("versions", {})
        for version, entry in versions.items():
            if _number(version) < _number(oldest):
                continue
            for base, details in _bases(framework, entry):
                allowed = details.get("processors") or config[scope].get("processors") or ["cpu"]
                if processor != "graviton" and processor not in allowed:
                    continue
                found.append(
                    (version, processor, _lookup(framework, version, base, details, instance_type, scope))
                )
    return found


def _bases(framework: str, entry: dict[str, Any]) -> list[tuple[str | None, dict[str, Any]]]:
    if framework != "huggingface":
        return [(None, entry)]
    return [(base, details) for base, details in entry.items() if re.match(r"pytorch\d", base)]


def _lookup(
    framework: str, version: str, base: str | None, details: dict[str, Any], instance_type: str, scope: str
) -> dict[str, Any]:
    accounts: dict[str, str] = {}
    names: set[tuple[str, str]] = set()
    python = details.get("py_versions") or [None]
    for region in details["registries"]:
        uri = image_uris.retrieve(
            framework=framework,
            region=region,
            version=version,
            py_version=python[-1],
            instance_type=instance_type,
            image_scope=scope,
            base_framework_version=base,
        )
        matched = URI.fullmatch(uri)
        if matched is None or matched["region"] != region:
            raise SystemExit(f"the SDK answered {uri} for {framework} {version} in {region}")
        accounts[region] = matched["account"]
        names.add((matched["repository"], matched["tag"]))
    if len(names) != 1:
        raise SystemExit(f"{framework} {version} has several names: {sorted(names)}")
    [(repository, tag)] = names
    return {"repository": repository, "tag": tag, "accounts": accounts, "regions": set(accounts)}


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("-")[0]))


def main() -> int:
    """Write the table, or with ``--check`` compare it; the exit status tells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when outdated")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    text = render()
    if arguments.check:
        current = TABLE.exists() and TABLE.read_text(encoding="utf-8") == text
        print(f"{TABLE.name} is {'up to date' if current else 'outdated: run this again without --check'}")
        return 0 if current else 1
    TABLE.write_text(text, encoding="utf-8")
    print(f"wrote {TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
