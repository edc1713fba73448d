"""Install: job scripts into the bucket with the stack, and versions out of the registry with its removal."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws import client, is_missing, told
from botocore.exceptions import ClientError
from custom_resource import answer
from registry import versions
from report import log

CODE = Path(__file__).with_name("job_code")
"""Where packaging puts the job scripts."""

_MODE = 0o644


class InstallError(Exception):
    """Nothing can be installed or removed; the message says why."""


def handler(event: dict[str, Any], context: object) -> dict[str, str]:
    """Carry a request of CloudFormation out.

    Args:
        event: The request; its properties are ``Bucket``, ``CodePrefix``, ``CodeVersion``,
            ``ModelPackageGroup`` and ``DeleteVersions``, whether all versions go with the resource.
        context: Not used.

    Returns:
        What was answered.
    """
    properties = event.get("ResourceProperties", {})
    return answer(
        event, str(properties.get("ModelPackageGroup", "install")), lambda: _done(event, properties)
    )


def _done(event: Mapping[str, Any], properties: Mapping[str, str]) -> dict[str, str]:
    removed = uploaded = 0
    try:
        if event["RequestType"] != "Delete":
            uploaded = _upload(properties)
        elif properties.get("DeleteVersions") == "true":
            removed = _delete_versions(properties["ModelPackageGroup"])
    except ClientError as error:
        raise InstallError(told(error)) from None
    except KeyError as error:
        raise InstallError(f"The property {error.args[0]} is missing") from None
    told_what = {"uploaded": str(uploaded), "removed": str(removed)}
    log(trigger=f"CloudFormation {event['RequestType']}", status="Done", **told_what)
    return told_what


def files(folder: Path) -> dict[str, bytes]:
    """The files of a folder by their path in it, sorted.

    Raises:
        InstallError: There is none.
    """
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    if not found:
        raise InstallError(
            f"The function was packaged without {folder.name}/: there are no job scripts in it"
        )
    return found


def archive(content: Mapping[str, bytes]) -> bytes:
    """A tar.gz of files; the same bytes for the same files, whenever and by whomever it is made."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in sorted(content):
            member = tarfile.TarInfo(name)  # its time, user and group are 0
            member.size, member.mode = len(content[name]), _MODE
            tar.addfile(member, io.BytesIO(content[name]))
    return buffer.getvalue()


def _upload(properties: Mapping[str, str]) -> int:
    bucket = properties["Bucket"]
    place = f"{properties['CodePrefix']}{properties['CodeVersion']}"
    content = files(CODE)
    objects = {f"{place}/{name}": body for name, body in content.items()}
    objects[f"{place}.tar.gz"] = archive(content)
    for key, body in objects.items():
        client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return len(objects)


def _delete_versions(group: str) -> int:
    # all pages first: a list that shrinks while it is read may leave some out
    found = list(versions(group))
    for arn in found:
        try:
            client("sagemaker").delete_model_package(ModelPackageName=arn)
        except ClientError as error:
            if not is_missing(error):
                raise
    return len(found)
