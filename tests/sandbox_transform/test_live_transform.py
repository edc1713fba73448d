"""Transform jobs in a started sandbox: real model servers that are killed, stopped and never outlive it."""

from __future__ import annotations

from pathlib import Path

from sandbox import supervisor
from sandbox.home import Home
from tests.sandbox_transform.live_transform import (
    JOIN,
    TransformLive,
    described,
    exists,
    listen,
    started,
)


def test_a_real_model_transforms_a_large_object_in_parts(live: TransformLive) -> None:
    # GIVEN 20,000 records, of which a request of 1 MB holds a part, and a queue for the job's events
    rows = [{"id": at, "text": f"영화 {at} " * 8} for at in range(20_000)]
    uri = live.put("large", rows, rows[:3])
    queue = listen(live, "large")

    # WHEN a job joins them with the model's answers
    live.start(
        "large", uri, DataProcessing=JOIN, MaxPayloadInMB=1, MaxConcurrentTransforms=2, InstanceCount=2
    )
    job = live.ended("large")

    # THEN each record has its answer, in order
    assert job["TransformJobStatus"] == "Completed"
    expected = [
        {"id": row["id"], "SageMakerOutput": {"length": len(str(row["text"])), "batch": "true"}}
        for row in rows
    ]
    assert live.output("large/0.jsonl.out") == expected
    assert live.output("large/1.jsonl.out") == expected[:3]
    # AND the model servers are gone, the events came, and the container's words are in its log stream
    live.until("the end of its model servers", lambda: not live.servers())
    live.until("its events", lambda: len(queue.read()) == 2)
    assert [event["detail"]["TransformJobStatus"] for event in queue.events] == ["InProgress", "Completed"]
    logs = live.aws("logs")

    def streams() -> set[str]:
        found = logs.describe_log_streams(
            logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix="large/"
        )["logStreams"]
        return {each["logStreamName"].rpartition("-")[2] for each in found}

    epoch = str(int(job["CreationTime"].timestamp()))
    live.until("its logs", lambda: exists(streams) and streams() == {epoch, "log"})


def test_a_killed_model_server_fails_its_job_with_the_reason(live: TransformLive) -> None:
    # GIVEN a job whose model works on a request
    live.start("killed", live.put("killed", [{"id": 1, "text": "x", "wait": 60}]))
    [server] = live.until("its model server", lambda: len(live.servers()) == 1 and live.servers())
    live.until("its request", lambda: "TransformStartTime" in described(live, "killed"))

    # WHEN the model server is killed
    server.kill()

    # THEN the job fails and says so, and nothing is left
    job = live.ended("killed")
    assert job["FailureReason"].startswith("AlgorithmError: s3://data/killed/0.jsonl: ")
    assert "was ended by signal 9" in job["FailureReason"]
    assert not live.servers()


def test_a_stopped_job_ends_its_model_servers(live: TransformLive) -> None:
    # GIVEN a job at work
    live.start("stopped", live.put("stopped", [{"id": 1, "text": "x", "wait": 60}]))
    live.until("its instance", lambda: "TransformStartTime" in described(live, "stopped"))

    # WHEN it is stopped
    live.sagemaker.stop_transform_job(TransformJobName="stopped")

    # THEN it is Stopped, without output, and its model server has ended
    assert live.ended("stopped")["TransformJobStatus"] == "Stopped"
    assert not live.servers()
    assert "Contents" not in live.s3.list_objects_v2(Bucket="results", Prefix="stopped/")


def test_no_model_server_outlives_the_sandbox(tmp_path: Path) -> None:
    # GIVEN a job at work in a sandbox of its own
    home = Home(tmp_path / "sandbox")
    with started(home) as live:
        live.start("left", live.put("left", [{"id": 1, "text": "x", "wait": 60}]))
        live.until("its instance", lambda: "TransformStartTime" in described(live, "left"))
        servers = live.servers()
        assert servers

        # WHEN the sandbox goes down
        supervisor.down(home, lambda text: None)

        # THEN the model server is gone too
        live.until("the end of its model server", lambda: not any(each.is_running() for each in servers))
