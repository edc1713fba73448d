"""Processing and training jobs: what their programs see, what they leave, how they end."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.sandbox_api.world import IMAGE
from tests.sandbox_jobs.workshop import Workshop, archive, processing, reads, training, unpacked, writes

Refused = Callable[..., tuple[str, str]]

SEES = """
import json, os, pathlib, sys
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
out = pathlib.Path(sys.argv[1])
(out / "sub").mkdir()
(out / "sub" / "seen.json").write_text(json.dumps({
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
    "files": sorted(str(p.relative_to(base)) for p in base.rglob("*") if p.is_file()),
    "config": json.loads((base / "config/processingjobconfig.json").read_text()),
    "hosts": json.loads((base / "config/resourceconfig.json").read_text()),
}))
(base / "output" / "message").write_text("3 rows dropped")
print("a line for the log")
"""

TRAINS = """
import argparse, json, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--deep", default="no")
given = parser.parse_args()
names = ("SM_CHANNELS", "SM_CHANNEL_TRAIN", "SM_MODEL_DIR", "SM_HPS", "SM_HP_RATE", "SM_HOSTS",
         "SM_CURRENT_HOST", "SM_NUM_GPUS", "SM_USER_ENTRY_POINT", "SM_OUTPUT_DATA_DIR",
         "TRAINING_JOB_NAME", "SAGEMAKER_PROGRAM")
config = pathlib.Path(os.environ["SM_INPUT_CONFIG_DIR"])
seen = {name: os.environ[name] for name in names}
seen["rate"] = given.rate
seen["rows"] = (pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]) / "a.csv").read_text()
seen["config"] = {p.name: json.loads(p.read_text()) for p in config.iterdir()}
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.json").write_text(json.dumps(seen))
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "curve.txt").write_text("up")
print("accuracy=0.5; loss=nan")
print("accuracy=0.875;")
"""


def test_a_processing_job_sees_its_own_tree_and_leaves_outputs(
    sagemaker: Any, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN inputs in S3, and secrets in the developer's environment
    monkeypatch.setenv("AWS_SESSION_TOKEN", "secret-of-the-developer")
    monkeypatch.setenv("MY_TOKEN", "secret-of-the-developer")
    workshop.s3.put("s3://in/raw/a.csv", "1,2")
    workshop.s3.put("s3://in/raw/deep/b.csv", "3")
    workshop.s3.put("s3://in/code/seen.py", SEES)

    # WHEN a job with paths in arguments and environment runs
    app = {
        "ImageUri": IMAGE,
        "ContainerEntrypoint": ["/usr/bin/python3", "/opt/ml/processing/code/seen.py"],
        "ContainerArguments": ["/opt/ml/processing/out", "--not=/data/opt/ml"],
    }
    sagemaker.create_processing_job(
        **processing(
            "Job",
            AppSpecification=app,
            Environment={"DATA": "/opt/ml/processing/raw", "LEVEL": "3"},
            ProcessingInputs=[reads("raw", "s3://in/raw"), reads("code", "s3://in/code/seen.py")],
            ProcessingOutputConfig={"Outputs": [writes("out", "s3://out/prefix/")]},
        )
    )
    job = workshop.ended(sagemaker, "processing", "Job")

    # THEN it saw the documented files and nothing of the developer's
    assert (job["ProcessingJobStatus"], job["ExitMessage"]) == ("Completed", "3 rows dropped")
    assert job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    text = workshop.s3.read("s3://out/prefix/sub/seen.json").decode()
    seen = json.loads(text)
    base = seen["environment"]["SAGEMAKER_BASE_DIR"]
    assert "secret-of-the-developer" not in text
    assert {"processing/raw/a.csv", "processing/raw/deep/b.csv"} <= set(seen["files"])
    assert seen["arguments"] == [f"{base}/processing/out", "--not=/data/opt/ml"]
    assert (seen["environment"]["DATA"], seen["environment"]["LEVEL"]) == (f"{base}/processing/raw", "3")
    assert seen["config"]["ProcessingJobName"] == "Job"
    assert seen["hosts"]["hosts"] == ["algo-1"]
    # AND its output is in the log, its events are told, its files are gone
    (line,) = [line for line in workshop.logs.lines if line[2] == "a line for the log"]
    assert line[0] == "/aws/sagemaker/ProcessingJobs"
    assert line[1].startswith("Job/algo-1-")
    changes = workshop.wait("events", lambda: _statuses(workshop, "Processing", "Completed"))
    assert changes == ["InProgress", "Completed"]
    assert not list(workshop.work.iterdir())


def _statuses(workshop: Workshop, kind: str, last: str) -> list[str] | None:
    found = [detail[f"{kind}JobStatus"] for detail in workshop.details(f"SageMaker {kind} Job State Change")]
    return found if found[-1:] == [last] else None


def test_a_training_script_has_the_environment_of_the_framework_and_leaves_a_model(
    sagemaker: Any, workshop: Workshop
) -> None:
    # GIVEN code, a channel, metrics to find
    code = workshop.s3.put("s3://in/code.tar.gz", archive({"train.py": TRAINS}))
    workshop.s3.put("s3://in/train/a.csv", "rows")
    request = training("Fit", code)
    request["HyperParameters"] |= {"rate": "0.25", "deep": '"yes"'}
    request["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "acc", "Regex": "accuracy=([0-9.]+);"},
        {"Name": "loss", "Regex": "loss=(\\S+)"},
    ]
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": "s3://in/train/",
        "S3DataDistributionType": "FullyReplicated",
    }
    request["InputDataConfig"] = [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]

    # WHEN the job runs
    sagemaker.create_training_job(**request)
    job = workshop.ended(sagemaker, "training", "Fit")

    # THEN the model is where the API says, with what the script saw
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert (job["TrainingJobStatus"], uri) == ("Completed", "s3://out/models/Fit/output/model.tar.gz")
    seen = json.loads(unpacked(workshop.s3.read(uri))["model.json"])
    assert (seen["rate"], seen["rows"], seen["SM_HP_RATE"]) == (0.25, "rows", "0.25")
    assert json.loads(seen["SM_HPS"]) == {"rate": 0.25, "deep": "yes"}
    assert (seen["SM_CHANNELS"], seen["SM_HOSTS"]) == ('["train"]', '["algo-1"]')
    assert (seen["SM_NUM_GPUS"], seen["SM_USER_ENTRY_POINT"]) == ("0", "train.py")
    assert seen["TRAINING_JOB_NAME"] == "Fit"
    assert set(seen["config"]) == {"hyperparameters.json", "inputdataconfig.json", "resourceconfig.json"}
    assert seen["config"]["hyperparameters.json"]["deep"] == '"yes"'
    assert unpacked(workshop.s3.read("s3://out/models/Fit/output/output.tar.gz")) == {"curve.txt": b"up"}
    # AND the last value of a metric counts, what is no number does not
    (metric,) = job["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("acc", 0.875)
    assert [each["Status"] for each in job["SecondaryStatusTransitions"]] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    (listed,) = sagemaker.list_training_jobs(StatusEquals="Completed")["TrainingJobSummaries"]
    assert listed["TrainingJobName"] == "Fit"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("raise ValueError('no rows are left')", ("ValueError: no rows are left", "exit code: 1")),
        ("import sys; print('out of cheese'); sys.exit(7)", ("out of cheese", "exit code: 7")),
        (
            "import os, sys; base = os.environ['SAGEMAKER_BASE_DIR']\n"
            "open(base + '/output/failure', 'w').write('my own words'); sys.exit(2)",
            ("AlgorithmError: my own words", "exit code: 2"),
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", ("signal: 9",)),
        ("def broken(:", ("SyntaxError", "exit code: 1")),
    ],
)
def test_a_training_script_that_fails_says_why(
    sagemaker: Any, workshop: Workshop, script: str, words: tuple[str, ...]
) -> None:
    # GIVEN a script that fails
    code = workshop.s3.put("s3://in/code.tar.gz", archive({"train.py": script}))

    # WHEN it is run
    sagemaker.create_training_job(**training("Fit", code))
    job = workshop.ended(sagemaker, "training", "Fit")

    # THEN the job has failed with its words and leaves no model
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"].startswith("AlgorithmError: ")
    for word in words:
        assert word in job["FailureReason"]
    assert not workshop.s3.keys("models")


def test_what_is_not_in_s3_fails_a_job_before_its_program_runs(sagemaker: Any, workshop: Workshop) -> None:
    # GIVEN a bucket without the input, an archive that is none, one without the script, an image of one's own
    workshop.s3.put("s3://in/bad.tar.gz", "no archive")
    workshop.s3.put("s3://in/empty.tar.gz", archive({"other.py": ""}))

    # WHEN jobs ask for them
    for number, uri in enumerate(("s3://in/none/", "s3://nobody/x")):
        sagemaker.create_processing_job(**processing(f"p{number}", ProcessingInputs=[reads("raw", uri)]))
    own = {"ImageUri": "1.dkr.ecr.eu-west-1.amazonaws.com/mine:1", "ContainerEntrypoint": ["python3"]}
    sagemaker.create_processing_job(**processing("own", AppSpecification=own))
    for name in ("bad", "empty", "absent"):
        sagemaker.create_training_job(**training(name, f"s3://in/{name}.tar.gz"))

    # THEN each says which and why
    for number in range(2):
        reason = workshop.ended(sagemaker, "processing", f"p{number}")["FailureReason"]
        assert reason.startswith("ClientError: Data download failed: no S3 objects found under S3 URL")
    reasons = {
        name: workshop.ended(sagemaker, "training", name)["FailureReason"]
        for name in ("bad", "empty", "absent")
    }
    assert "s3://in/bad.tar.gz is not a valid tar.gz archive" in reasons["bad"]
    assert "There is no script 'train.py' in s3://in/empty.tar.gz" in reasons["empty"]
    assert "no S3 objects found" in reasons["absent"]
    image = workshop.ended(sagemaker, "processing", "own")["FailureReason"]
    assert "does not run image 1.dkr.ecr.eu-west-1.amazonaws.com/mine:1" in image


def test_a_job_that_takes_too_long_is_stopped_and_leaves_what_it_has(
    sagemaker: Any, workshop: Workshop
) -> None:
    # GIVEN a script that writes a model and goes on
    script = (
        "import os, time\nopen(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('half')\n"
        "while True: time.sleep(0.1)"
    )
    code = workshop.s3.put("s3://in/code.tar.gz", archive({"train.py": script}))

    # WHEN it may take a second
    sagemaker.create_training_job(**training("Long", code, StoppingCondition={"MaxRuntimeInSeconds": 1}))
    job = workshop.ended(sagemaker, "training", "Long")

    # THEN it is Stopped, with its model
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert "MaxRuntimeInSeconds, 1 s" in job["FailureReason"]
    assert unpacked(workshop.s3.read(job["ModelArtifacts"]["S3ModelArtifacts"])) == {"m": b"half"}


def test_a_stopped_job_ends_with_all_that_it_started(
    sagemaker: Any, workshop: Workshop, refused: Refused
) -> None:
    # GIVEN a program that ignores SIGTERM and has a child
    script = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('child', child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    sagemaker.create_processing_job(**processing("Stubborn", script))
    line = workshop.wait("child", lambda: [x[2] for x in workshop.logs.lines if x[2].startswith("child")])[0]

    # WHEN it is stopped
    sagemaker.stop_processing_job(ProcessingJobName="Stubborn")
    assert (
        sagemaker.describe_processing_job(ProcessingJobName="Stubborn")["ProcessingJobStatus"] == "Stopping"
    )
    job = workshop.ended(sagemaker, "processing", "Stubborn")

    # THEN nothing of it lives, and it cannot be stopped again or made anew
    assert job["ProcessingJobStatus"] == "Stopped"
    pid = int(line.split()[1])
    workshop.wait("child's end", lambda: not _lives(pid))
    assert "can't be stopped" in refused(sagemaker.stop_processing_job, ProcessingJobName="Stubborn")[1]
    assert refused(sagemaker.create_processing_job, **processing("stubborn"))[0] == "ResourceInUse"
    assert refused(sagemaker.describe_processing_job, ProcessingJobName="none")[0] == "ResourceNotFound"


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_job_that_is_stopped_while_it_reads_leaves_no_files(
    sagemaker: Any, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a download that takes its time
    begun, released = threading.Event(), threading.Event()
    download = workshop.s3.download_file

    def slowly(bucket: str, key: str, file: str) -> None:
        begun.set()
        assert released.wait(20)
        download(bucket, key, file)

    monkeypatch.setattr(workshop.s3, "download_file", slowly)
    workshop.s3.put("s3://in/raw/a.csv", "1,2")
    sagemaker.create_processing_job(**processing("Reading", ProcessingInputs=[reads("raw", "s3://in/raw/")]))
    assert begun.wait(20)

    # WHEN the job is stopped meanwhile
    sagemaker.stop_processing_job(ProcessingJobName="Reading")
    released.set()
    job = workshop.ended(sagemaker, "processing", "Reading")

    # THEN it has never started, and nothing of it is left
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "ProcessingStartTime" not in job
    assert not list(workshop.work.iterdir())


def test_outputs_that_s3_does_not_take_fail_the_job(sagemaker: Any, workshop: Workshop) -> None:
    # GIVEN a bucket that refuses a key
    workshop.s3.refuses.add("o/x")
    script = "import os; open(os.environ['SAGEMAKER_BASE_DIR'] + '/processing/o/x', 'w').write('1')"

    # WHEN a job writes it
    outputs = {"Outputs": [writes("o", "s3://out/o")]}
    sagemaker.create_processing_job(**processing("Out", script, ProcessingOutputConfig=outputs))
    job = workshop.ended(sagemaker, "processing", "Out")

    # THEN it has failed and says so
    assert job["ProcessingJobStatus"] == "Failed"
    assert "Data upload to s3://out/o/x failed" in job["FailureReason"]


def test_what_the_sandbox_does_not_run_is_refused_with_every_finding(
    sagemaker: Any, workshop: Workshop, refused: Refused
) -> None:
    # GIVEN requests with several mistakes
    outside = writes("o", "https://out/x")
    outside["S3Output"]["LocalPath"] = "/opt/ml/../../etc"
    bad = processing(
        "Bad",
        AppSpecification={"ImageUri": IMAGE},
        ProcessingInputs=[reads("a", "s3://in/a"), reads("a", "s3://in/b")],
        ProcessingOutputConfig={"Outputs": [outside]},
    )
    bad["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 2
    worse = training("Bad", "s3://in/code.tar.gz")
    worse["AlgorithmSpecification"] = {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "Pipe",
        "MetricDefinitions": [{"Name": "m", "Regex": "("}, {"Name": "n", "Regex": "x"}],
    }

    # WHEN they are sent
    code, processing_words = refused(sagemaker.create_processing_job, **bad)
    _, training_words = refused(sagemaker.create_training_job, **worse)

    # THEN all is said, and nothing started
    assert code == "ValidationException"
    for words in ("containerEntrypoint", "one instance, not on 2", "repeated: a", "must be s3://", "below"):
        assert words in processing_words
    for words in ("no TrainingInputMode Pipe", "is no regular expression", "has no group"):
        assert words in training_words
    assert not sagemaker.list_processing_jobs()["ProcessingJobSummaries"]


def test_a_manifest_names_the_objects_of_a_channel(sagemaker: Any, workshop: Workshop) -> None:
    # GIVEN a manifest, and one that would leave its folder
    workshop.s3.put("s3://in/d/x.csv", "x")
    workshop.s3.put("s3://in/m.json", json.dumps([{"prefix": "s3://in/d/"}, "x.csv"]))
    workshop.s3.put("s3://in/evil.json", json.dumps([{"prefix": "s3://in/d/"}, "../../../x.csv"]))
    script = "import os; print('FILES', os.listdir(os.environ['SAGEMAKER_BASE_DIR'] + '/processing/raw'))"

    # WHEN jobs read them
    for name in ("m", "evil"):
        given = reads("raw", f"s3://in/{name}.json")
        given["S3Input"]["S3DataType"] = "ManifestFile"
        sagemaker.create_processing_job(**processing(name, script, ProcessingInputs=[given]))
    good, evil = (workshop.ended(sagemaker, "processing", name) for name in ("m", "evil"))

    # THEN the file is there, and the other job is refused it
    assert good["ProcessingJobStatus"] == "Completed"
    assert "FILES ['x.csv']" in [line[2] for line in workshop.logs.lines]
    assert "whose name cannot be that of a file" in evil["FailureReason"]


def test_too_many_jobs_at_a_time_are_refused(
    sagemaker: Any, workshop: Workshop, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN as many jobs as the sandbox runs
    monkeypatch.setattr("sandbox.jobs.service.MOST_JOBS", 1)
    sagemaker.create_processing_job(**processing("One", "import time; time.sleep(600)"))

    # WHEN another one is made, and again when there is room
    refusal = refused(sagemaker.create_processing_job, **processing("Two"))
    sagemaker.stop_processing_job(ProcessingJobName="One")
    workshop.ended(sagemaker, "processing", "One")
    sagemaker.create_processing_job(**processing("Two"))

    # THEN it is refused at first, and runs then
    assert refusal[0] == "ResourceLimitExceeded"
    assert workshop.ended(sagemaker, "processing", "Two")["ProcessingJobStatus"] == "Completed"


def test_the_process_is_not_this_one(workshop: Workshop, sagemaker: Any) -> None:
    # GIVEN a job that tells where it runs
    script = "import os; print('AT', os.getpid(), os.getcwd(), os.getsid(0))"

    # WHEN it runs
    sagemaker.create_processing_job(**processing("Where", script))
    workshop.ended(sagemaker, "processing", "Where")

    # THEN it is a process of this session, below the work folder
    (line,) = [line[2] for line in workshop.logs.lines if line[2].startswith("AT")]
    _, pid, folder, session = line.split()
    assert int(pid) != os.getpid()
    assert folder.startswith(str(workshop.work))
    assert int(session) == os.getsid(0)
