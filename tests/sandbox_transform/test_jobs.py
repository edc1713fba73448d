"""Jobs from CreateTransformJob to their outputs: naming, order, requests, settings, metrics, logs, events."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from pathlib import Path

import pytest

from sandbox.errors import ServiceError
from tests.sandbox_api.world import SCOPE
from tests.sandbox_transform.plant import Answer, Call, FakeContainer, Plant, capitals, lengths, model

LOG_GROUP = "/aws/sagemaker/TransformJobs"


def rows(*texts: str) -> list[bytes]:
    return [json.dumps({"id": at, "text": text}).encode() for at, text in enumerate(texts)]


def test_a_job_writes_one_output_for_each_object_and_says_how_it_went(plant: Plant) -> None:
    # GIVEN objects at two depths, and an empty one that a console made for a folder
    plant.put(a__txt=[b"one", b"two"], b__txt=b"three\n")
    plant.s3.objects["in", "data/deep/c.txt"] = b"four"
    plant.s3.objects["in", "data/deep/"] = b""
    plant.s3.objects["in", "data-of-others/d.txt"] = b"five"

    # WHEN a job transforms their prefix
    job = plant.transform(KmsKeyId="alias/results", Tags=[{"Key": "team", "Value": "리뷰"}])

    # THEN each has its output, named after it, below the output path
    assert job["TransformJobStatus"] == "Completed"
    assert plant.s3.outputs() == {
        "results/a.txt.out": b"ONE\nTWO\n",
        "results/b.txt.out": b"THREE\n",
        "results/deep/c.txt.out": b"FOUR\n",
    }
    assert plant.s3.extra["results/a.txt.out"] == {
        "ContentType": "application/jsonlines",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "alias/results",
    }
    # AND the job tells what was asked, with its defaults, and when it ran
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    assert job["TransformInput"]["CompressionType"] == "None"
    assert job["DataProcessing"] == {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
    # AND EventBridge heard of its beginning and its end, in the service's words
    first, last = (json.loads(event.detail) for event in plant.bus.events)
    assert [first["TransformJobStatus"], last["TransformJobStatus"]] == ["InProgress", "Completed"]
    assert {event.detail_type for event in plant.bus.events} == {"SageMaker Transform Job State Change"}
    assert plant.bus.events[0].resource == job["TransformJobArn"] == SCOPE.arn("transform-job/job")
    assert last["Tags"] == {"team": "리뷰"}
    assert last["ModelName"] == "model"
    assert last["TransformOutput"]["S3OutputPath"] == "s3://out/results"
    assert last["CreationTime"] <= last["TransformStartTime"] <= last["TransformEndTime"]
    # AND CloudWatch has its data log and what its host used, and nothing is left of its instance
    host = plant.fleets.instances[0].id
    log_streams = {(group, stream) for group, stream, _ in plant.logs.lines}
    assert log_streams == {(LOG_GROUP, f"job/{host}-7/data-log")}
    assert plant.data_log() == ["MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD"]
    for name in ("CPUUtilization", "MemoryUtilization"):
        assert plant.fleets.metrics.values(name, Host=f"job/{host}")
    assert plant.fleets.instances[0].state == "Terminated"
    assert plant.fleets.slots.taken == 0


def test_records_of_a_request_stay_within_its_payload_and_its_object(plant: Plant) -> None:
    # GIVEN an object of 1.5 MB in lines of 400 KB, and a small one
    lines = [bytes([letter]) * 400_000 for letter in b"abcd"]
    plant.put(large=lines, small=[b"x", b"", b"y\r"])

    # WHEN requests may have 1 MB
    plant.transform(MaxPayloadInMB=1)

    # THEN as many lines as fit go together, never lines of two objects, and empty ones are none
    assert [[line[:1] for line in call.lines] for call in plant.fleets.calls] == [
        [b"a", b"b"],
        [b"c", b"d"],
        [b"x", b"y"],
    ]
    assert plant.s3.outputs()["results/large.out"] == b"".join(line.upper() + b"\n" for line in lines)
    assert plant.s3.outputs()["results/small.out"] == b"X\nY\n"


def test_single_records_and_whole_objects_are_requests_of_their_own(plant: Plant) -> None:
    # GIVEN an object of three lines, the last of them open
    plant.put(a=[b"1", b"2", b"3"])

    # WHEN it is sent line by line, and as it is
    plant.transform(name="single", BatchStrategy="SingleRecord")
    single = [call.body for call in plant.fleets.calls]
    plant.transform(name="whole", SplitType=None, AssembleWith=None, S3OutputPath="s3://out/whole/")

    # THEN the model gets each line, and all of them with their line ends
    assert single == [b"1", b"2", b"3"]
    assert plant.fleets.calls[-1].body == b"1\n2\n3"
    assert plant.s3.outputs() == {"results/a.out": b"1\n2\n3\n", "whole/a.out": b"1\n2\n3"}


def test_containers_are_told_of_the_job_and_its_content_types(plant: Plant) -> None:
    # GIVEN a model with an environment of its own
    plant.call("CreateModel", model(name="told", Environment={"MODE": "fast", "TOPIC": "film"}))
    plant.put(a=b"x")

    # WHEN a job sets some of what containers can be told, and another nothing
    plant.transform(
        ModelName="told",
        Environment={"MODE": "batch"},
        MaxPayloadInMB=2,
        MaxConcurrentTransforms=3,
        BatchStrategy="SingleRecord",
    )
    plant.transform(name="bare")

    # THEN the first has all of it, the job's values over the model's, and the second SAGEMAKER_BATCH only
    assert plant.fleets.environments[0] == {
        "MODE": "batch",
        "TOPIC": "film",
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "2",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "3",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
    }
    assert plant.fleets.environments[1] == {"SAGEMAKER_BATCH": "true"}
    headers = plant.fleets.calls[0].headers
    assert {name.lower(): value for name, value in headers.items()}["content-type"] == "application/jsonlines"


@pytest.mark.parametrize(
    ("suggested", "given", "used"),
    [
        (None, {}, "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD"),
        (
            {"MaxConcurrentTransforms": 4, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2},
            {},
            "MaxConcurrentTransforms=4, MaxPayloadInMB=2, BatchStrategy=SINGLE_RECORD",
        ),
        (
            {"MaxConcurrentTransforms": 4, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2},
            {"MaxConcurrentTransforms": 2, "MaxPayloadInMB": 9, "BatchStrategy": "MultiRecord"},
            "MaxConcurrentTransforms=2, MaxPayloadInMB=9, BatchStrategy=MULTI_RECORD",
        ),
        (
            ["nonsense"],
            {"MaxConcurrentTransforms": 0},
            "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD",
        ),
        (
            {"MaxConcurrentTransforms": "many", "MaxPayloadInMB": -1},
            {},
            "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD",
        ),
    ],
)
def test_what_the_request_leaves_open_the_container_decides(
    plant: Plant, suggested: object, given: dict[str, object], used: str
) -> None:
    # GIVEN a container with an opinion, or none
    plant.fleets.parameters = suggested
    plant.put(a=b"x")

    # WHEN a job runs
    job = plant.transform(**given)

    # THEN its data log has what was used
    assert job["TransformJobStatus"] == "Completed"
    assert plant.data_log() == [used]


def test_requests_run_side_by_side_and_results_keep_their_order(plant: Plant) -> None:
    # GIVEN a model that answers the first of each three requests last
    waiting: list[asyncio.Event] = []

    async def backwards(call: Call) -> Answer:
        waiting.append(asyncio.Event())
        mine = waiting[-1]
        if len(waiting) == 3:
            waiting[2].set()
        await mine.wait()
        if len(waiting) == 3 and mine is not waiting[0]:
            waiting[waiting.index(mine) - 1].set()
        elif mine is waiting[0]:
            waiting.clear()
        return 200, call.body.upper()

    plant.fleets.answerers["primary"] = backwards
    plant.put(a=[b"a", b"b", b"c", b"d", b"e", b"f"])

    # WHEN an instance takes three requests at a time
    plant.transform(BatchStrategy="SingleRecord", MaxConcurrentTransforms=3)

    # THEN it had three, never more, and the output is in order
    container = plant.fleets.instances[0].containers[0]
    assert isinstance(container, FakeContainer)
    assert container.most == 3
    assert plant.s3.outputs() == {"results/a.out": b"A\nB\nC\nD\nE\nF\n"}


def test_many_objects_share_an_instance_without_blocking_each_other(plant: Plant) -> None:
    # GIVEN objects of different lengths, and a model whose answers take turns in being late or failing
    turn = itertools.count()

    async def uneven(call: Call) -> Answer:
        await asyncio.sleep(next(turn) % 4 * 0.002)
        return (400, b"no") if call.body == b"7-3" else (200, call.body.upper())

    plant.fleets.answerers["primary"] = uneven
    lines = {f"o{at:02}": [b"%d-%d" % (at, line) for line in range(at % 5 + 2)] for at in range(12)}
    plant.put(**lines)

    # WHEN an instance takes three requests at a time, each of one line
    job = plant.transform(BatchStrategy="SingleRecord", MaxConcurrentTransforms=3)

    # THEN all but the failing one are there, whole and in order, and never more than three were under way
    del lines["o07"]
    assert job["FailureReason"].startswith("ClientError: s3://in/data/o07: line 4: ")
    assert plant.s3.outputs() == {
        f"results/{name}.out": b"".join(line + b"\n" for line in content) for name, content in lines.items()
    }
    container = plant.fleets.instances[0].containers[0]
    assert isinstance(container, FakeContainer)
    assert container.most == 3


def test_instances_share_the_objects_and_never_an_object(plant: Plant) -> None:
    # GIVEN five objects of two lines
    plant.put(**{f"o{at}": [b"%d-a" % at, b"%d-b" % at] for at in range(5)})

    # WHEN two instances transform them record by record
    plant.transform(InstanceCount=2, BatchStrategy="SingleRecord", MaxConcurrentTransforms=2)

    # THEN each object went to one of them, in order of the keys in turn, and all outputs are there
    seen = [
        sorted({call.body[:1] for call in instance.containers[0].calls})  # type: ignore[attr-defined]
        for instance in plant.fleets.instances
    ]
    assert seen == [[b"0", b"2", b"4"], [b"1", b"3"]]
    assert len(plant.s3.outputs()) == 5
    assert plant.fleets.slots.taken == 0


def test_more_instances_than_objects_are_not_started(plant: Plant) -> None:
    # GIVEN one object
    plant.put(a=b"x")

    # WHEN three instances are asked for
    plant.transform(InstanceCount=3)

    # THEN one works, and the others' places are free
    assert len(plant.fleets.instances) == 1
    assert plant.fleets.slots.taken == 0


def test_a_row_of_containers_is_the_model(plant: Plant) -> None:
    # GIVEN a pipeline whose first container writes in capitals and whose second adds an exclamation mark
    async def shout(call: Call) -> Answer:
        return 200, call.body + b"!"

    plant.fleets.answerers = {"normalize": capitals, "classify": shout}
    plant.call("CreateModel", model("normalize", "classify", name="row"))
    plant.put(a=b"good")

    # WHEN a job uses it
    plant.transform(ModelName="row")

    # THEN the second got what the first answered, under its content type, and only the last knows Accept
    assert plant.s3.outputs() == {"results/a.out": b"GOOD!\n"}
    first, second = ({k.lower(): v for k, v in call.headers.items()} for call in plant.fleets.calls)
    assert second["content-type"] == "application/x-normalize"
    assert ("accept" in first, second["accept"]) == (False, "application/jsonlines")


def test_results_are_joined_with_their_records_and_filtered(plant: Plant) -> None:
    # GIVEN records with an id
    plant.fleets.answerers["primary"] = lengths
    plant.put(a__jsonl=rows("좋아요", "최고의 영화"))

    # WHEN the model gets the text only, and id and answer are kept
    job = plant.transform(
        DataProcessing={
            "InputFilter": "$['text']",
            "JoinSource": "Input",
            "OutputFilter": "$['id','SageMakerOutput']",
        }
    )

    # THEN the model could not read its records, as the filter left a bare string
    assert job["TransformJobStatus"] == "Failed"

    # WHEN the filter keeps an object
    plant.transform(
        name="again",
        DataProcessing={"JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"},
    )

    # THEN each result has its id and the model's answer
    assert [json.loads(line) for line in plant.s3.outputs()["results/a.jsonl.out"].splitlines()] == [
        {"id": 0, "SageMakerOutput": {"length": 3}},
        {"id": 1, "SageMakerOutput": {"length": 6}},
    ]


def test_csv_is_filtered_and_joined_by_columns(plant: Plant) -> None:
    # GIVEN rows of which one column is quoted
    plant.put(a__csv=[b'7,"good, very",x', b"8,bad,y"])

    # WHEN the model gets the second column, and id and result are kept
    plant.transform(
        ContentType="text/csv",
        Accept="text/csv",
        DataProcessing={"InputFilter": "$[1]", "JoinSource": "Input", "OutputFilter": "$[0,-2,-1]"},
    )

    # THEN the quotes are where they are needed
    assert plant.fleets.calls[0].body == b'"good, very"\nbad'
    assert plant.s3.outputs() == {"results/a.csv.out": b'7,x,"GOOD, VERY"\n8,y,BAD\n'}


def test_a_manifest_names_the_objects(plant: Plant) -> None:
    # GIVEN a manifest of two of three objects, one of them twice
    plant.put(a=b"a", b=b"b", c=b"c")
    manifest = [{"prefix": "s3://in/da"}, "ta/a", "ta/c", "ta/a"]
    plant.s3.objects["lists", "today.manifest"] = json.dumps(manifest).encode()

    # WHEN a job gets the manifest
    plant.transform(kind="ManifestFile", uri="s3://lists/today.manifest")

    # THEN these two are transformed, and their outputs are named as in the manifest
    assert plant.s3.outputs() == {"results/ta/a.out": b"A\n", "results/ta/c.out": b"C\n"}


def test_gzip_files_of_several_members_are_read_as_one(plant: Plant) -> None:
    # GIVEN an object that two programs have compressed into
    plant.put(a__gz=gzip.compress(b"one\ntw") + gzip.compress(b"o\n") + b"\0" * 512)

    # WHEN a job reads it as Gzip
    plant.transform(CompressionType="Gzip")

    # THEN its lines are whole, and the output is plain
    assert plant.s3.outputs() == {"results/a.gz.out": b"ONE\nTWO\n"}


def test_payload_0_sends_objects_in_chunks_and_streams_the_answers(plant: Plant) -> None:
    # GIVEN an object larger than a read, and a row of containers
    data = b"line of text\n" * 400_000
    plant.call("CreateModel", model("a", "b", name="row"))
    plant.put(large=data)

    # WHEN MaxPayloadInMB is 0
    job = plant.transform(ModelName="row", MaxPayloadInMB=0, BatchStrategy="MultiRecord")

    # THEN the containers get all of it in one request without a length
    assert job["TransformJobStatus"] == "Completed"
    first, second = ({k.lower(): v for k, v in call.headers.items()} for call in plant.fleets.calls)
    assert first["transfer-encoding"] == second["transfer-encoding"] == "chunked"
    assert plant.s3.outputs() == {"results/large.out": data.upper()}


def test_an_object_is_read_no_further_than_its_requests_need(plant: Plant, tmp_path: Path) -> None:
    # GIVEN an object of 40 MB and a model that does not answer yet
    answers = asyncio.Event()

    async def wait(call: Call) -> Answer:
        await answers.wait()
        return 200, b"ok"

    plant.fleets.answerers["primary"] = wait
    plant.put(large=(b"x" * 1023 + b"\n") * 40 * 1024)

    # WHEN two requests of 1 MB are under way
    plant.start(MaxPayloadInMB=1, MaxConcurrentTransforms=2)
    plant.until(lambda: len(plant.fleets.calls) == 2)

    # THEN at most two reads of 2 MB were needed
    assert len(plant.s3.reads) <= 2

    # WHEN the model answers
    plant.loop.call_soon_threadsafe(answers.set)
    plant.done()

    # THEN all of it was read once, in order, and the scratch file is gone
    starts = [int(ranged.partition("=")[2].partition("-")[0]) for _, ranged in plant.s3.reads]
    assert starts == sorted(set(starts))
    assert not [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]


def test_a_job_that_does_not_fit_is_refused_and_its_name_stays_free(plant: Plant) -> None:
    # GIVEN a sandbox of 8 model servers
    plant.put(a=b"x")

    # WHEN a job asks for 9
    with pytest.raises(ServiceError) as refused:
        plant.start(InstanceCount=9, Tags=[{"Key": "a", "Value": "b"}])

    # THEN it is over the limit, and the name can be used
    assert refused.value.code == "ResourceLimitExceeded"
    assert "--max-model-servers" in refused.value.message
    assert plant.transform()["TransformJobStatus"] == "Completed"
