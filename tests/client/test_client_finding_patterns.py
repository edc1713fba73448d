from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from client import connection
from tests.client.fakes import RuntimeServer, ScriptedAws, endpoint, stack

Run = Callable[..., Result]


def test_a_pattern_that_is_not_deployed_gets_the_list_of_those_that_are(aws: ScriptedAws, run: Run) -> None:
    # GIVEN two deployed patterns, and a stack of somebody else's
    aws.deploy(
        stack("realtime"), stack("batch", "BatchInference"), {"StackName": "Other", "StackStatus": "X"}
    )

    # WHEN another is asked for
    result = run("invoke", "realtmie")

    # THEN the message lists the two, guesses what was meant, and says how to deploy
    assert result.exit_code == 1
    assert "Pattern 'realtmie' is not deployed" in result.stderr
    assert "batch (stack BatchInference, dev), realtime (stack RealtimeInference, dev)" in result.stderr
    assert "Other" not in result.stderr
    assert "Did you mean 'realtime'?" in result.stderr
    assert "-m sandbox deploy PATTERN" in result.stderr


@pytest.mark.parametrize(
    "command",
    [("status",), ("status", "realtime"), ("invoke", "realtime"), ("load", "realtime"), ("demo", "realtime")],
)
def test_nothing_deployed_says_how_to_deploy(aws: ScriptedAws, run: Run, command: tuple[str, ...]) -> None:
    aws.deploy()
    result = run(*command)
    assert result.exit_code == 1
    assert "No pattern is deployed in the sandbox (ap-northeast-2)" in result.stderr
    assert "-m sandbox deploy realtime" in result.stderr


def test_nothing_deployed_on_aws_names_the_cdk(
    aws: ScriptedAws, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    aws.deploy()
    result = run("status")
    assert "No pattern is deployed in AWS Region ap-northeast-2" in result.stderr
    assert ".venv/bin/cdk deploy" in result.stderr


def test_one_of_several_stacks_is_chosen_by_name(aws: ScriptedAws, runtime: RuntimeServer, run: Run) -> None:
    # GIVEN two stacks of one pattern
    aws.deploy(stack(name="One"), stack(name="Two", outputs={"EndpointName": "second"}))

    # WHEN none is chosen, one is, and one that is not there
    neither, two, three = (
        run("invoke", "realtime", *more) for more in ((), ("--stack", "Two"), ("--stack", "Three"))
    )

    # THEN only the clear choice sends something
    assert neither.exit_code == 1
    assert "Several stacks are of pattern 'realtime': One, Two" in neither.stderr
    assert "--stack" in neither.stderr
    assert two.exit_code == 0, two.stderr
    assert [request.match_info["name"] for request in runtime.requests] == ["second"]
    assert three.exit_code == 1
    assert "Stack 'Three' of pattern 'realtime' is not deployed" in three.stderr
    assert "Did you mean" not in three.stderr


def test_stacks_on_later_pages_are_found(aws: ScriptedAws, run: Run) -> None:
    others = [{"StackName": "Other", "StackStatus": "CREATE_COMPLETE"}]
    aws.answers["DescribeStacks"] = [{"Stacks": others, "NextToken": "more"}, {"Stacks": [stack()]}]
    aws.answers["DescribeEndpoint"] = endpoint()
    result = run("status", "--json")
    assert result.exit_code == 0, result.stderr
    assert [one["pattern"] for one in json.loads(result.stdout)["patterns"]] == ["realtime"]


def test_a_nested_stack_with_its_parents_tags_is_no_pattern(aws: ScriptedAws, run: Run) -> None:
    aws.deploy(stack(name="Nested", ParentId="arn:parent"))
    assert "No pattern is deployed" in run("status").stderr


@pytest.mark.parametrize(
    ("status", "hint"), [("CREATE_IN_PROGRESS", "Wait until"), ("ROLLBACK_COMPLETE", "correct the cause")]
)
def test_a_stack_without_outputs_says_its_state(aws: ScriptedAws, run: Run, status: str, hint: str) -> None:
    aws.deploy(stack(StackStatus=status, StackStatusReason="no capacity", outputs={}))
    result = run("invoke", "realtime")
    assert result.exit_code == 1
    assert f"it is {status} (no capacity)" in result.stderr
    assert hint in result.stderr


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://localhost:4566", True),
        ("http://[::1]:4566", True),
        ("https://sagemaker.ap-northeast-2.amazonaws.com", False),
        ("http://127.0.0.1.example.org", False),
        ("http://10.0.0.1:4566", False),
    ],
)
def test_only_a_loopback_url_is_the_sandbox(url: str, local: bool) -> None:
    assert connection.is_loopback(url) is local
