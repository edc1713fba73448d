"""Lists with filters and pages, tags, model package groups, pipelines."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import ServiceError
from sandbox.paging import page
from tests.sandbox_api.world import ROLE, SCOPE, World

Refused = Callable[..., tuple[str, str]]
DEFINITION = json.dumps({"Version": "2020-12-01", "Steps": []})
START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def five_endpoints(make_endpoint: Any, world: World) -> list[str]:
    """Made an hour apart, b first; b and d failed; d was changed last."""
    names = ["b-one", "a-two", "c-one", "e-two", "d-one"]
    for number, name in enumerate(names):
        make_endpoint(name)
        endpoint = world.endpoint(name)
        endpoint.created_at = endpoint.modified_at = START + timedelta(hours=number)
        endpoint.status = "Failed" if name[0] in "bd" else "InService"
    world.endpoint("d-one").modified_at = START + timedelta(days=1)
    return names


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["d-one", "e-two", "c-one", "a-two", "b-one"]),
        ({"SortOrder": "Ascending"}, ["b-one", "a-two", "c-one", "e-two", "d-one"]),
        ({"SortBy": "Name", "SortOrder": "Ascending"}, ["a-two", "b-one", "c-one", "d-one", "e-two"]),
        ({"SortBy": "Status", "SortOrder": "Ascending", "MaxResults": 2}, ["b-one", "d-one"]),
        ({"NameContains": "ONE"}, ["d-one", "c-one", "b-one"]),
        ({"StatusEquals": "Failed"}, ["d-one", "b-one"]),
        ({"CreationTimeAfter": START + timedelta(hours=3)}, ["d-one", "e-two"]),
        ({"CreationTimeBefore": START + timedelta(hours=1)}, ["b-one"]),
        ({"LastModifiedTimeAfter": START + timedelta(hours=3)}, ["d-one"]),
        ({"LastModifiedTimeBefore": START + timedelta(hours=1)}, ["b-one"]),
        ({"NameContains": "zzz"}, []),
    ],
)
def test_a_list_is_filtered_and_sorted(
    sagemaker: Any, five_endpoints: list[str], filters: dict[str, Any], names: list[str]
) -> None:
    # GIVEN five endpoints
    # WHEN they are listed with filters
    found = sagemaker.list_endpoints(**filters)["Endpoints"]

    # THEN the right ones come, in order
    assert [endpoint["EndpointName"] for endpoint in found] == names


def test_pages_follow_on_one_another(sagemaker: Any, make_config: Any) -> None:
    # GIVEN 12 configurations
    for number in range(12):
        make_config(f"config-{number:02}")

    # WHEN they are listed without and with a page size
    default = sagemaker.list_endpoint_configs()
    pages = list(
        sagemaker.get_paginator("list_endpoint_configs").paginate(
            SortBy="Name", SortOrder="Ascending", MaxResults=5
        )
    )

    # THEN a page holds 10 by default, and the paginator meets each once
    assert len(default["EndpointConfigs"]) == 10
    assert [len(page["EndpointConfigs"]) for page in pages] == [5, 5, 2]
    names = [config["EndpointConfigName"] for page in pages for config in page["EndpointConfigs"]]
    assert names == [f"config-{number:02}" for number in range(12)]


def test_a_token_is_good_for_its_own_list_only(sagemaker: Any, make_model: Any, refused: Refused) -> None:
    # GIVEN a token of one order
    for name in "abc":
        make_model(name)
    token = sagemaker.list_models(SortBy="Name", MaxResults=1)["NextToken"]

    # WHEN it is used for another one, or is made up
    # THEN it is refused
    for params in (
        {"SortBy": "CreationTime", "NextToken": token},
        {"SortBy": "Name", "SortOrder": "Ascending", "NextToken": token},
        {"NextToken": "made-up"},
        {"NextToken": "W10="},
    ):
        code, message = refused(sagemaker.list_models, **params)
        assert (code, "The NextToken is not one" in message) == ("ValidationException", True)


@given(
    st.lists(st.tuples(st.floats(0, 9) | st.integers(0, 9), st.text(max_size=3)), unique=True, max_size=30),
    st.integers(1, 7),
    st.booleans(),
)
def test_pages_hold_every_item_once_in_order(
    items: list[tuple[float, str]], limit: int, descending: bool
) -> None:
    # GIVEN any items with unique keys
    # WHEN they are read page by page
    seen: list[tuple[float, str]] = []
    token = None
    while True:
        got, token = page(
            items, order="o", key=lambda item: item, limit=limit, token=token, descending=descending
        )
        seen += got
        if token is None:
            break

    # THEN each came once, in order
    assert seen == sorted(items, reverse=descending)


@given(st.text(max_size=40))
def test_any_other_token_is_refused(token: str) -> None:
    # GIVEN any text
    # WHEN it is used as a token
    # THEN it is refused as such
    with pytest.raises(ServiceError, match="NextToken"):
        page([(1.0, "a")], order="o", key=lambda item: item, limit=1, token=token)


def test_tags_are_added_replaced_and_removed(sagemaker: Any, make_endpoint: Any) -> None:
    # GIVEN an endpoint with tags
    make_endpoint("E", Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    arn = sagemaker.describe_endpoint(EndpointName="E")["EndpointArn"]

    # WHEN one is replaced, one added, one removed
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "3"}, {"Key": "c", "Value": ""}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a", "never-there"])

    # THEN the rest is there
    tags = sagemaker.list_tags(ResourceArn=arn)["Tags"]
    assert tags == [{"Key": "b", "Value": "3"}, {"Key": "c", "Value": ""}]


def test_tags_have_a_limit_and_need_a_resource(sagemaker: Any, make_model: Any, refused: Refused) -> None:
    # GIVEN a model with 50 tags
    tags = [{"Key": str(n), "Value": ""} for n in range(50)]
    make_model("m", Tags=tags)
    arn = sagemaker.describe_model(ModelName="m")["ModelArn"]

    # WHEN another is added, or one to a resource that is not there
    limit = refused(sagemaker.add_tags, ResourceArn=arn, Tags=[{"Key": "more", "Value": ""}])
    missing = refused(sagemaker.list_tags, ResourceArn=arn + "x")

    # THEN both are refused
    assert limit == ("ValidationException", f"The resource {arn} would have 51 tags; at most 50 are allowed.")
    assert missing[1].startswith(f'Could not find resource "{arn}x"')


def test_model_package_groups_are_kept(sagemaker: Any, refused: Refused) -> None:
    # GIVEN a group
    made = sagemaker.create_model_package_group(
        ModelPackageGroupName="Reviews", ModelPackageGroupDescription="감성 분석"
    )
    arn = made["ModelPackageGroupArn"]

    # WHEN it is asked for by name and ARN
    by_name = sagemaker.describe_model_package_group(ModelPackageGroupName="Reviews")
    by_arn = sagemaker.describe_model_package_group(ModelPackageGroupName=arn)

    # THEN it is there once, until it is deleted
    assert arn == "arn:aws:sagemaker:ap-northeast-2:000000000000:model-package-group/reviews"
    assert by_name["ModelPackageGroupDescription"] == by_arn["ModelPackageGroupDescription"] == "감성 분석"
    assert refused(sagemaker.create_model_package_group, ModelPackageGroupName="reviews") == (
        "ValidationException",
        f"Model Package Group already exists: {arn}",
    )
    (listed,) = sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert (listed["ModelPackageGroupName"], listed["ModelPackageGroupStatus"]) == ("Reviews", "Completed")
    assert not sagemaker.list_model_package_groups(CrossAccountFilterOption="CrossAccount")[
        "ModelPackageGroupSummaryList"
    ]
    sagemaker.delete_model_package_group(ModelPackageGroupName="Reviews")
    assert refused(sagemaker.describe_model_package_group, ModelPackageGroupName="Reviews") == (
        "ValidationException",
        f"ModelPackageGroup {arn} does not exist.",
    )


def test_pipelines_are_kept_and_updated(sagemaker: Any, world: World, refused: Refused) -> None:
    # GIVEN a pipeline
    arn = sagemaker.create_pipeline(PipelineName="Train", PipelineDefinition=DEFINITION, RoleArn=ROLE)[
        "PipelineArn"
    ]

    # WHEN its definition comes from S3 now, and its description changes
    other = json.dumps({"Version": "2020-12-01", "Parameters": [{"Name": "p"}], "Steps": []})
    world.objects["bucket", "pipeline.json"] = other.encode()
    sagemaker.update_pipeline(
        PipelineName="Train",
        PipelineDescription="weekly",
        PipelineDefinitionS3Location={"Bucket": "bucket", "ObjectKey": "pipeline.json"},
    )

    # THEN both show, by name and by ARN, and the name is taken
    for name in ("Train", arn):
        shown = sagemaker.describe_pipeline(PipelineName=name)
        assert (shown["PipelineDefinition"], shown["PipelineDescription"]) == (other, "weekly")
        assert (shown["RoleArn"], shown["PipelineStatus"]) == (ROLE, "Active")
    code, message = refused(
        sagemaker.create_pipeline, PipelineName="train", PipelineDefinition=DEFINITION, RoleArn=ROLE
    )
    assert (code, "already exists" in message) == (
        "ValidationException",
        True,
    )  # the SageMaker SDK looks for this
    (listed,) = sagemaker.list_pipelines(PipelineNamePrefix="Tr")["PipelineSummaries"]
    assert listed["PipelineName"] == "Train"
    assert not sagemaker.list_pipelines(CreatedAfter=datetime.now(UTC) + timedelta(hours=1))[
        "PipelineSummaries"
    ]
    sagemaker.delete_pipeline(PipelineName="Train")
    assert not world.stores.of(SCOPE).pipelines


def test_an_unknown_pipeline_is_not_found(sagemaker: Any, refused: Refused) -> None:
    # GIVEN no pipeline
    # WHEN one is asked for
    # THEN the error is the modelled one
    arn = "arn:aws:sagemaker:ap-northeast-2:000000000000:pipeline/none"
    for call in (
        sagemaker.describe_pipeline,
        sagemaker.update_pipeline,
        sagemaker.delete_pipeline,
    ):
        assert refused(call, PipelineName="none") == ("ResourceNotFound", f"Pipeline '{arn}' does not exist.")


def test_an_old_version_of_a_pipeline_is_refused_in_plain_words(sagemaker: Any, refused: Refused) -> None:
    # GIVEN a pipeline
    sagemaker.create_pipeline(PipelineName="p", PipelineDefinition=DEFINITION, RoleArn=ROLE)

    # WHEN an old version is asked for
    versioned = refused(sagemaker.describe_pipeline, PipelineName="p", PipelineVersionId=3)

    # THEN the answer says what the sandbox lacks
    assert "keeps only the latest version" in versioned[1]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "needs PipelineDefinition or PipelineDefinitionS3Location"),
        ({"PipelineDefinition": "{"}, "Unable to parse pipeline definition. It is not valid JSON"),
        ({"PipelineDefinition": "[]"}, "It must be an object with a list of Steps"),
        (
            {"PipelineDefinitionS3Location": {"Bucket": "bucket", "ObjectKey": "none"}},
            "Unable to read the pipeline definition at s3://bucket/none: ",
        ),
        (
            {
                "PipelineDefinition": DEFINITION,
                "PipelineDefinitionS3Location": {"Bucket": "bucket", "ObjectKey": "none"},
            },
            "Give PipelineDefinition or PipelineDefinitionS3Location, not both.",
        ),
    ],
)
def test_a_definition_that_cannot_be_read_is_refused(
    sagemaker: Any, refused: Refused, params: dict[str, Any], words: str
) -> None:
    # GIVEN no definition, or a broken one
    # WHEN a pipeline is made of it
    code, message = refused(sagemaker.create_pipeline, PipelineName="p", RoleArn=ROLE, **params)

    # THEN the answer says what is wrong
    assert code == "ValidationException"
    assert words in message
