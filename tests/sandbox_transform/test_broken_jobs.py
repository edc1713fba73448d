"""What goes wrong: data, models, model servers, S3, and jobs that are stopped."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable

import pytest

from sandbox.errors import ServiceError
from sandbox.fleet import FleetFailed
from sandbox.transform_jobs import model_client
from tests.sandbox_transform.plant import Answer, Call, Die, Plant, capitals, lengths


def failing(times: int, status: int = 500) -> Callable[[Call], object]:
    """A model that fails so often, and then answers in capitals."""
    left = [times]

    async def answer(call: Call) -> Answer:
        if left[0] > 0:
            left[0] -= 1
            return status, b"the model\nis not  well"
        return await capitals(call)

    return answer


def test_a_bad_record_costs_its_object_only(plant: Plant) -> None:
    # GIVEN three objects, one of which has a line that is no JSON
    good = [json.dumps({"text": "영화"}).encode()] * 3
    plant.put(a=good, b=[*good, b'{"text": ', *good], c=good)
    plant.fleets.answerers["primary"] = lengths

    # WHEN results are joined
    job = plant.transform(DataProcessing={"JoinSource": "Input"})

    # THEN the job is Failed, and names the object and what the model said of it
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(
        "AlgorithmError: s3://in/data/b: lines 1 to 7: the primary container answered 500"
    )
    assert job["FailureReason"].endswith("1 of 3 objects failed. See job logs.")
    # AND the others have their outputs, the bad one none, and the log and the last event say the same
    assert sorted(plant.s3.outputs()) == ["results/a.out", "results/c.out"]
    assert plant.data_log()[-1].startswith("in/data/b: AlgorithmError: lines 1 to 7: ")
    assert json.loads(plant.bus.events[-1].detail)["FailureReason"] == job["FailureReason"]


@pytest.mark.parametrize(
    ("line", "changes", "reason"),
    [
        (b"{nope", {"JoinSource": "Input"}, "line 2: the record is not valid JSON"),
        (b'{"text": 1}', {"InputFilter": "$.name"}, "line 2: the path $.name finds no attribute 'name'"),
        (b"1", {"InputFilter": "$.name"}, "line 2: the path $.name needs an object, not a int"),
        (b'{"name": NaN}', {"JoinSource": "Input"}, "line 2: the record is not valid JSON (NaN is not JSON)"),
    ],
)
def test_a_record_that_cannot_be_processed_is_named(
    plant: Plant, line: bytes, changes: dict[str, str], reason: str
) -> None:
    # GIVEN a line that does not fit what the job does with it
    async def ones(call: Call) -> Answer:
        return 200, b"\n".join(b"1" for _ in call.lines)

    plant.fleets.answerers["primary"] = ones
    plant.put(a=[b'{"name": "x"}', line])

    # WHEN the job runs
    job = plant.transform(DataProcessing=changes)

    # THEN the reason has its line and what is wrong with it
    assert job["FailureReason"].startswith(f"ClientError: s3://in/data/a: {reason}")
    assert plant.s3.outputs() == {}


def test_results_that_do_not_match_their_records_are_not_guessed(plant: Plant) -> None:
    # GIVEN a model that gives one result for two records
    async def one(call: Call) -> Answer:
        return 200, b"{}\n"

    plant.fleets.answerers["primary"] = one
    plant.put(a=[b"{}", b"{}"])

    # WHEN they are to be joined
    job = plant.transform(DataProcessing={"JoinSource": "Input"})

    # THEN the object fails
    assert "lines 1 to 2: the model gave 1 results for 2 records" in job["FailureReason"]


def test_what_is_larger_than_a_payload_is_an_error(plant: Plant) -> None:
    # GIVEN a line, and an object, of a little more than 1 MB, and a line of exactly 1 MB
    limit = 1024 * 1024
    plant.put(a=[b"ok", b"x" * (limit + 1), b"ok"], b=b"y" * limit + b"\r\n")

    # WHEN requests may have 1 MB
    by_line = plant.transform(MaxPayloadInMB=1)
    whole = plant.transform(name="whole", MaxPayloadInMB=1, SplitType=None, S3OutputPath="s3://out/whole")

    # THEN the first is refused with its line, the second as a whole, the third passes
    assert by_line["FailureReason"].startswith(
        "ClientError: s3://in/data/a: line 2: the record is larger than MaxPayloadInMB (1 MB)"
    )
    assert sorted(plant.s3.outputs()) == ["results/b.out"]
    assert "SplitType None does not split it" in whole["FailureReason"]
    assert "2 of 2 objects failed" in whole["FailureReason"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(b"text" * 1000)[:-9], "the object ends in the middle of its gzip data"),
        (b"plain text", "the object is no intact gzip file"),
        (gzip.compress(b"text" * 1000)[:20] + b"\xff" * 30, "the object is no intact gzip file"),
        (gzip.compress(b"text") + b"garbage", "the object is no intact gzip file"),
    ],
    ids=["cut", "plain", "damaged", "garbage"],
)
def test_a_damaged_gzip_file_is_named(plant: Plant, content: bytes, reason: str) -> None:
    # GIVEN a damaged file beside a sound one
    plant.put(bad=content, good=gzip.compress(b"fine"))

    # WHEN both are read as Gzip
    job = plant.transform(CompressionType="Gzip")

    # THEN the sound one has its output, and the other is named
    assert job["FailureReason"].startswith("ClientError: s3://in/data/bad: CompressionType is Gzip, but")
    assert reason in job["FailureReason"]
    assert plant.s3.outputs() == {"results/good.out": b"FINE\n"}


def test_a_model_that_recovers_is_asked_again(plant: Plant) -> None:
    # GIVEN a model that fails twice
    plant.fleets.answerers["primary"] = failing(2)  # type: ignore[assignment]
    plant.put(a=b"x")

    # WHEN two retries are allowed
    job = plant.transform(ModelClientConfig={"InvocationsMaxRetries": 2})

    # THEN the job completes
    assert (job["TransformJobStatus"], len(plant.fleets.calls)) == ("Completed", 3)


def test_a_model_that_does_not_recover_fails_the_job(plant: Plant) -> None:
    # GIVEN a model that fails twice
    plant.fleets.answerers["primary"] = failing(2)  # type: ignore[assignment]
    plant.put(a=b"x")

    # WHEN one retry is allowed
    job = plant.transform(ModelClientConfig={"InvocationsMaxRetries": 1})

    # THEN the reason has the answer and how often it was asked
    assert job["FailureReason"].startswith(
        "AlgorithmError: s3://in/data/a: line 1: the primary container answered 500: "
        "the model is not well, in 2 attempts."
    )


def test_a_request_that_the_model_refuses_is_not_repeated(plant: Plant) -> None:
    # GIVEN a model that refuses what it gets
    plant.fleets.answerers["primary"] = failing(9, status=415)  # type: ignore[assignment]
    plant.put(a=b"x")

    # WHEN the job runs
    job = plant.transform()

    # THEN it was asked once, and the data are at fault
    assert len(plant.fleets.calls) == 1
    assert job["FailureReason"].startswith(
        "ClientError: s3://in/data/a: line 1: the primary container answered 415"
    )


def test_a_model_that_hangs_is_given_up(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a model that does not answer the first object, and limits that follow the sandbox's clock
    monkeypatch.setattr(model_client, "SHORTEST_SCALED_TIMEOUT", 0.0)

    async def hang(call: Call) -> Answer:
        if call.body == b"hang":
            await asyncio.Event().wait()
        return await capitals(call)

    plant.fleets.answerers["primary"] = hang
    plant.put(a=b"hang", b=b"go")

    # WHEN each request may take 6 seconds of AWS time
    config = {"InvocationsTimeoutInSeconds": 6, "InvocationsMaxRetries": 1}
    job = plant.transform(ModelClientConfig=config)

    # THEN it is given up after two attempts, and the next object goes on
    assert (
        "the model did not answer within InvocationsTimeoutInSeconds (6), in 2 attempts."
        in job["FailureReason"]
    )
    assert plant.s3.outputs() == {"results/b.out": b"GO\n"}


def test_a_model_server_that_dies_takes_its_share_and_no_more(plant: Plant) -> None:
    # GIVEN two instances, one of which dies at its second object
    async def mortal(call: Call) -> Answer:
        if call.body == b"kill":
            raise Die
        return await capitals(call)

    plant.fleets.answerers["primary"] = mortal
    plant.put(o0=b"a", o1=b"b", o2=b"kill", o3=b"c", o4=b"d", o5=b"e")

    # WHEN the job runs
    job = plant.transform(InstanceCount=2)

    # THEN what it had done stays, its other objects fail with the reason, and the other instance ends its own
    assert sorted(plant.s3.outputs()) == [f"results/o{at}.out" for at in (0, 1, 3, 5)]
    assert job["FailureReason"].startswith("AlgorithmError: s3://in/data/o2: ")
    assert "was ended by signal 9" in job["FailureReason"]
    assert "2 of 6 objects failed" in job["FailureReason"]
    assert plant.fleets.slots.taken == 0


def test_a_job_is_stopped_half_way(plant: Plant) -> None:
    # GIVEN a job that has done one object and works on the second
    async def slow(call: Call) -> Answer:
        if call.body == b"slow":
            await asyncio.Event().wait()
        return await capitals(call)

    plant.fleets.answerers["primary"] = slow
    plant.put(a=b"fast", b=b"slow")
    plant.start()
    plant.until(lambda: len(plant.fleets.calls) == 2)

    # WHEN it is stopped
    plant.call("StopTransformJob", {"TransformJobName": "job"})

    # THEN it stops without a reason, tells so, and leaves no instance and no half object
    job = plant.done()
    assert job["TransformJobStatus"] == "Stopped"
    assert "FailureReason" not in job
    assert plant.statuses() == ["InProgress", "Stopping", "Stopped"]
    assert sorted(plant.s3.outputs()) == ["results/a.out"]
    assert (plant.fleets.instances[0].state, plant.fleets.slots.taken) == ("Terminated", 0)
    # AND it cannot be stopped again
    with pytest.raises(ServiceError, match="its status is Stopped"):
        plant.call("StopTransformJob", {"TransformJobName": "job"})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"uri": "s3://in/nothing/"}, 'ClientError: No S3 objects found under S3 URL "s3://in/nothing/"'),
        ({"uri": "s3://nowhere/"}, "ClientError: The input s3://nowhere/ could not be read: NoSuchBucket"),
        (
            {"kind": "ManifestFile", "uri": "s3://in/data/list"},
            "The manifest s3://in/data/list must be",
        ),
        (
            {"kind": "ManifestFile", "uri": "s3://in/data/text"},
            "The manifest s3://in/data/text is not",
        ),
        ({"kind": "ManifestFile", "uri": "s3://in/data/odd"}, "has entries that are no keys at 2."),
    ],
)
def test_an_input_that_is_none_fails_the_job(plant: Plant, changes: dict[str, str], reason: str) -> None:
    # GIVEN an object, and files that are no manifests
    plant.put(list=b'["a"]', text=b"a, b", odd=b'[{"prefix": "s3://in/"}, "a", 7]')

    # WHEN a job is to read what is not there, or what is no manifest
    job = plant.transform(**changes)

    # THEN it fails and says why, and no instance was started
    assert job["TransformJobStatus"] == "Failed"
    assert reason in job["FailureReason"]
    assert "TransformStartTime" not in job
    assert not plant.fleets.instances
    assert plant.fleets.slots.taken == 0


def test_an_empty_object_has_an_empty_output(plant: Plant) -> None:
    # GIVEN an object without a byte, and one without a record
    plant.put(nothing=b"", blank=b"\n\n")

    # WHEN a job transforms them
    job = plant.transform()

    # THEN the model is not asked, and their outputs are empty
    assert job["TransformJobStatus"] == "Completed"
    assert plant.s3.outputs() == {"results/blank.out": b"", "results/nothing.out": b""}
    assert not plant.fleets.calls


def test_what_a_manifest_names_and_s3_refuses_fails_alone(plant: Plant) -> None:
    # GIVEN a manifest of an object that is there, one that is not, and one whose output S3 refuses
    plant.put(a=b"a", b=b"b")
    plant.s3.objects["lists", "m"] = json.dumps([{"prefix": "s3://in/data/"}, "a", "b", "gone"]).encode()
    plant.s3.refuses = {"results/b.out"}

    # WHEN a job gets it
    job = plant.transform(kind="ManifestFile", uri="s3://lists/m")

    # THEN the first has its output and both others their reason in the log
    assert plant.s3.outputs() == {"results/a.out": b"A\n"}
    assert "2 of 3 objects failed" in job["FailureReason"]
    log = "\n".join(plant.data_log())
    assert "the output could not be written to s3://out/results/b.out: AccessDenied" in log
    assert "in/data/gone: ClientError: the object could not be read: NoSuchKey" in log


def test_instances_that_do_not_start_fail_the_job(plant: Plant) -> None:
    # GIVEN a model that does not load
    plant.fleets.fails = FleetFailed("The primary container did not pass the ping health check.")
    plant.put(a=b"x")

    # WHEN a job needs it
    job = plant.transform(InstanceCount=2)

    # THEN the job fails with that reason and gives its places back
    assert job["FailureReason"] == "AlgorithmError: The primary container did not pass the ping health check."
    assert plant.fleets.slots.taken == 0


def test_an_object_that_changes_while_it_is_read_is_not_mixed(plant: Plant) -> None:
    # GIVEN an object of three reads that is overwritten after the first request
    async def overwrite(call: Call) -> Answer:
        plant.s3.objects["in", "data/a"] = b"new\n" * 2_000_000
        return 200, b"ok"

    plant.fleets.answerers["primary"] = overwrite
    plant.put(a=b"old\n" * 2_000_000)

    # WHEN a job reads it
    job = plant.transform(MaxPayloadInMB=1)

    # THEN the object fails
    assert "could not be read: PreconditionFailed" in job["FailureReason"]


def test_the_end_of_the_sandbox_is_the_end_of_its_jobs(plant: Plant) -> None:
    # GIVEN a job at work
    async def hang(call: Call) -> Answer:
        await asyncio.Event().wait()
        return 200, b""

    plant.fleets.answerers["primary"] = hang
    plant.put(a=b"x")
    plant.start()
    plant.until(lambda: bool(plant.fleets.calls))

    # WHEN the sandbox ends
    plant.run(plant.jobs.close())

    # THEN so has its instance
    assert plant.fleets.instances[0].state == "Terminated"
    assert plant.job()["TransformJobStatus"] == "Stopped"
