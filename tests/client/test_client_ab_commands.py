from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import Result

from client import waiting
from client.ab.sending import count_shares
from client.ab.weights import parse_weights
from client.errors import UserError
from client.status import EndpointStatus, VariantStatus
from tests.client.fakes import RuntimeServer, ScriptedAws, ab_stack, endpoint, variants

Run = Callable[..., Result]

TEXTS = [(f"글 {number}", number % 2) for number in range(50)]


@pytest.fixture(autouse=True)
def deployed(aws: ScriptedAws, monkeypatch: pytest.MonkeyPatch) -> ScriptedAws:
    """Two variants, half and half; weights that are set hold at once."""
    monkeypatch.setattr(waiting, "_POLL_SECONDS_SANDBOX", 0.001)
    weights = {"champion": 50.0, "challenger": 50.0}
    aws.deploy(ab_stack(*weights))
    aws.answers["DescribeEndpoint"] = lambda _: endpoint(
        EndpointName="ab-test-dev", ProductionVariants=variants(weights)
    )

    def update(params: dict[str, Any]) -> dict[str, Any]:
        for one in json.loads(params["body"])["DesiredWeightsAndCapacities"]:
            weights[one["VariantName"]] = one["DesiredWeight"]
        return {"EndpointArn": "arn"}

    aws.answers["UpdateEndpointWeightsAndCapacities"] = update
    return aws


def answer_as(runtime: RuntimeServer, *, wrong: dict[str, set[str]], refuse: str = "") -> None:
    """Each variant gets some texts wrong; one text may be refused by the challenger."""

    async def respond(request: web.Request) -> web.StreamResponse:
        variant = request.headers["X-Amzn-SageMaker-Target-Variant"]
        texts = json.loads(await request.read())["inputs"]
        if refuse in texts and variant == "challenger":
            body = json.dumps({"Message": "no", "OriginalStatusCode": 400, "OriginalMessage": "too odd"})
            return web.Response(status=424, text=body, headers={"x-amzn-ErrorType": "ModelError"})
        right = {text: ("negative", "positive")[label] for text, label in TEXTS}
        other = {"negative": "positive", "positive": "negative"}
        labels = [other[right[text]] if text in wrong[variant] else right[text] for text in texts]
        return web.json_response([{"label": label, "score": 0.9} for label in labels])

    runtime.respond = respond


@pytest.fixture
def texts_file(tmp_path: Path) -> str:
    path = tmp_path / "texts.tsv"
    path.write_text("".join(f"{text}\t{label}\n" for text, label in TEXTS), encoding="utf-8")
    return str(path)


# --- show


def test_variants_side_by_side(deployed: ScriptedAws, run: Run) -> None:
    deployed.answers["GetMetricData"] = {
        "MetricDataResults": [
            {"Id": "m0_invocations", "Values": [1000.0]},
            {"Id": "m0_errors_5xx", "Values": [10.0]},
            {"Id": "m1_invocations", "Values": [500.0, 500.0]},
            {"Id": "m1_model_latency_p99_ms", "Values": [12_500.0]},
        ]
    }
    result, shown = run("ab", "show", "--window", "10m", "--json"), run("ab", "show")
    assert (result.exit_code, shown.exit_code) == (0, 0), shown.stderr
    champion, challenger = json.loads(result.stdout)["variants"]
    assert json.loads(result.stdout)["window_seconds"] == 600
    assert (champion["share"], champion["invocations"], champion["errors_5xx"]) == (0.5, 1000, 10)
    assert (challenger["invocations"], challenger["model_latency_p99_ms"]) == (1000, 12.5)
    for words in ("champion", "challenger", "50.0 %", "last 15m", "1,000", "1.00 %", "12.5"):
        assert words in shown.stdout


# --- send


def test_traffic_is_counted_beside_the_weights(runtime: RuntimeServer, run: Run) -> None:
    # GIVEN an endpoint that answers in turn
    names = itertools.cycle(["champion", "challenger"])

    async def respond(_: web.Request) -> web.StreamResponse:
        return web.json_response([], headers={"x-amzn-Invoked-Production-Variant": next(names)})

    runtime.respond = respond

    # WHEN
    result, shown = run("ab", "send", "200", "--json"), run("ab", "send", "100")

    # THEN
    assert (result.exit_code, shown.exit_code) == (0, 0), shown.stderr
    report = json.loads(result.stdout)
    assert report["requests"]["answered"] == 200
    assert [one["share"] for one in report["shares"]] == [0.5, 0.5]
    assert all(one["as_promised"] for one in report["shares"])
    assert "as promised" in shown.stdout


def test_a_named_variant_is_promised_everything(runtime: RuntimeServer, run: Run) -> None:
    # GIVEN an endpoint that does not honour TargetVariant
    async def respond(_: web.Request) -> web.StreamResponse:
        return web.json_response([], headers={"x-amzn-Invoked-Production-Variant": "champion"})

    runtime.respond = respond
    result = run("ab", "send", "20", "--target-variant", "challenger")
    assert runtime.requests[-1].headers["X-Amzn-SageMaker-Target-Variant"] == "challenger"
    assert "not as promised" in result.stdout


def test_failed_requests_are_counted_too(runtime: RuntimeServer, run: Run) -> None:
    calls = itertools.count()

    async def respond(_: web.Request) -> web.StreamResponse:
        failed = next(calls) % 2
        return web.Response(status=500 if failed else 200, text="{}")

    runtime.respond = respond
    result = run("ab", "send", "20")
    assert result.exit_code == 3
    assert "HTTP 500" in result.stdout


@pytest.mark.parametrize(("answered", "as_promised"), [(800, True), (850, True), (860, False), (700, False)])
def test_shares_may_differ_from_the_weights_by_chance_only(answered: int, as_promised: bool) -> None:
    # 4 x sqrt(0.8 x 0.2 / 1000) = 5.06 %
    weights = [VariantStatus("champion", weight=80.0), VariantStatus("challenger", weight=20.0)]
    counted = count_shares(
        EndpointStatus("e", "InService", "c", "c", variants=weights),
        {"champion": answered, "challenger": 1000 - answered},
    )
    assert [one.as_promised for one in counted] == [as_promised, as_promised]


# --- shift


def test_weights_are_shifted(deployed: ScriptedAws, run: Run) -> None:
    result = run("ab", "shift", "champion=80", "challenger=20")
    assert result.exit_code == 0, result.stderr
    [sent] = deployed.bodies("UpdateEndpointWeightsAndCapacities")
    assert sent["DesiredWeightsAndCapacities"] == [
        {"VariantName": "champion", "DesiredWeight": 80.0},
        {"VariantName": "challenger", "DesiredWeight": 20.0},
    ]
    assert "champion 80 : challenger 20" in result.stdout
    assert "champion 80.0 %" in result.stdout
    assert json.loads(run("ab", "shift", "champion=20", "--json").stdout)["variants"][0]["share"] == 0.5


def test_all_wrong_weights_are_told_at_once(deployed: ScriptedAws, run: Run) -> None:
    result = run(
        "ab", "shift", "champio=80", "challenger=-1", "x", "challenger=nan", "champion=1", "champion=2"
    )
    assert result.exit_code == 1
    for words in (
        "there is no variant 'champio'; did you mean 'champion'?",
        "'challenger=-1': a weight is a number of 0 or more",
        "'x': write it as VARIANT=WEIGHT",
        "'challenger=nan'",
        "champion is given twice",
        "The variants: champion, challenger",
    ):
        assert words in result.stderr
    assert not deployed.bodies("UpdateEndpointWeightsAndCapacities")


def test_somebody_has_to_get_the_traffic(deployed: ScriptedAws, run: Run) -> None:
    result = run("ab", "shift", "champion=0", "challenger=0")
    assert result.exit_code == 1
    assert "All weights would be 0" in result.stderr
    assert not deployed.bodies("UpdateEndpointWeightsAndCapacities")


def test_an_update_of_somebody_else_and_weights_that_do_not_come_about(
    deployed: ScriptedAws, run: Run
) -> None:
    message = 'Cannot update in-progress endpoint "arn".'
    deployed.fail("UpdateEndpointWeightsAndCapacities", "ValidationException", message)
    assert "being updated by somebody else" in run("ab", "shift", "champion=80").stderr

    deployed.answers["UpdateEndpointWeightsAndCapacities"] = {"EndpointArn": "arn"}
    result = run("ab", "shift", "champion=80")
    assert result.exit_code == 1
    assert "did not come about" in result.stderr
    assert "champion=50" in result.stderr


def test_weights_are_numbers() -> None:
    assert parse_weights(["a=0.5", "b=1e2"], ["a", "b", "c"]) == {"a": 0.5, "b": 100.0}
    with pytest.raises(UserError, match="a weight is a number"):
        parse_weights(["a=inf"], ["a"])


# --- test


def test_a_better_variant_is_found(runtime: RuntimeServer, run: Run, texts_file: str) -> None:
    # GIVEN a challenger that is right on ten texts more
    answer_as(runtime, wrong={"champion": {text for text, _ in TEXTS[:12]}, "challenger": {"글 0", "글 20"}})

    # WHEN
    result, shown = run("ab", "test", texts_file, "--json"), run("ab", "test", texts_file)

    # THEN every text went to both, and McNemar's test decides
    assert (result.exit_code, shown.exit_code) == (0, 0), shown.stderr
    found = json.loads(result.stdout)
    assert found["texts"] == 50
    assert found["only_right"] == {"champion": 1, "challenger": 11}
    assert found["mcnemar"]["exact_p"] == pytest.approx(2 * 13 / 4096)
    assert found["better"] == "challenger"
    assert found["more_texts"] is None
    for words in ("76.00 %", "96.00 %", "McNemar", "+20.00 points", "challenger is better than champion"):
        assert words in shown.stdout


def test_what_few_texts_cannot_tell_is_said(runtime: RuntimeServer, run: Run, texts_file: str) -> None:
    wrong = {"champion": {text for text, _ in TEXTS[:7]}, "challenger": {text for text, _ in TEXTS[10:14]}}
    answer_as(runtime, wrong=wrong)
    result, found = run("ab", "test", texts_file), run("ab", "test", texts_file, "--json")
    assert "Not decided" in result.stdout
    assert "more texts show it with a chance of 80 %" in result.stdout
    assert json.loads(found.stdout)["better"] is None
    assert json.loads(found.stdout)["more_texts"] > 50

    # AND from a handful of disagreements nothing is planned
    answer_as(runtime, wrong={"champion": {"글 1", "글 2", "글 3"}, "challenger": {"글 4"}})
    assert "They disagree on 4 texts: too few to say" in run("ab", "test", texts_file).stdout


def test_a_text_that_one_variant_refuses_is_left_out_and_told(
    runtime: RuntimeServer, run: Run, texts_file: str
) -> None:
    answer_as(runtime, wrong={"champion": set(), "challenger": set()}, refuse="글 7")
    result, shown = run("ab", "test", texts_file, "--json"), run("ab", "test", texts_file)
    assert (result.exit_code, shown.exit_code) == (3, 3)
    found = json.loads(result.stdout)
    assert (found["texts"], found["unanswered"]) == (49, 1)
    assert list(found["failures"].values()) == [1]
    assert "1 texts were not answered by both" in shown.stdout
    assert "challenger: The model answered 400: too odd" in shown.stdout


def test_labels_that_the_models_do_not_use(runtime: RuntimeServer, run: Run, tmp_path: Path) -> None:
    answer_as(runtime, wrong={"champion": set(), "challenger": set()})
    path = tmp_path / "other.tsv"
    path.write_text("글 1\tgut\n글 2\tschlecht\n", encoding="utf-8")
    result = run("ab", "test", str(path))
    assert result.exit_code == 1
    assert "(gut, schlecht) are none that the variants answer (negative, positive)" in result.stderr


def test_nothing_but_failures(runtime: RuntimeServer, run: Run, texts_file: str) -> None:
    runtime.answer_with(200, "hello", **{"Content-Type": "text/plain"})
    result = run("ab", "test", texts_file)
    assert result.exit_code == 1
    assert "No text was answered by both variants" in result.stderr
    assert "hello" in result.stderr


def test_which_two_variants(aws: ScriptedAws, runtime: RuntimeServer, run: Run, texts_file: str) -> None:
    answer_as(runtime, wrong={"champion": set(), "challenger": set(), "third": set()})
    aws.deploy(ab_stack("champion", "challenger", "third"))
    assert "Name two: --variant A --variant B" in run("ab", "test", texts_file).stderr
    named = run(
        "ab", "test", texts_file, "--variant", "third", "--variant", "champion", "--rows", "10", "--json"
    )
    assert set(json.loads(named.stdout)["variants"]) == {"third", "champion"}
    assert json.loads(named.stdout)["texts"] == 10
    unknown = run("ab", "test", texts_file, "--variant", "fourth", "--variant", "champion")
    assert "has no variant 'fourth'" in unknown.stderr
    aws.deploy(ab_stack("champion"))
    assert "one variant only" in run("ab", "test", texts_file).stderr
