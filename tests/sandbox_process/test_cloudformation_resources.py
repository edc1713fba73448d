"""Resource handlers against an engine that notes what it is asked and answers as the API would."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloudformation import RESOURCES, Api, Resource, ResourceFailed
from sandbox.cloudformation.resource import MAX_NAME, generated_name
from sandbox.errors import ServiceError
from sandbox.store import Params, Scope

SCOPE = Scope("000000000000", "ap-northeast-2")
ENDPOINT = SCOPE.arn("endpoint/shop")
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # API_CreateEndpoint, EndpointName
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/shop/variant/main",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


class Engine:
    """Notes calls; answers by operation, either always the same or one after the other."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, Params]] = []
        self._waiting: dict[str, Iterator[Any]] = {}

    def __call__(self, service: str, operation: str, params: Params, scope: Scope) -> Params:
        assert scope == SCOPE
        assert service == ("application-autoscaling" if "Sc" in operation else "sagemaker")
        self.calls.append((operation, params))
        answer = self.answers.get(operation, {})
        if isinstance(answer, list):
            answer = next(self._waiting.setdefault(operation, iter(answer)))
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def of(self, operation: str) -> list[Params]:
        return [params for name, params in self.calls if name == operation]

    @property
    def operations(self) -> list[str]:
        return [name for name, _ in self.calls]


def resource(type_name: str) -> Resource:
    return next(resource for resource in RESOURCES if resource.type_name == type_name)


def endpoint(status: str, config: str = "old", reason: str | None = None) -> Params:
    described = {"EndpointName": "shop", "EndpointStatus": status, "EndpointConfigName": config}
    return described | ({"FailureReason": reason} if reason else {})


def gone(kind: str = "endpoint") -> ServiceError:
    return ServiceError("ValidationException", f'Could not find {kind} "{SCOPE.arn(f"{kind}/shop")}".')


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@given(
    stack=st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=128).filter(
        lambda name: name[0].isalpha()
    ),
    logical_id=st.text(string.ascii_letters + string.digits, min_size=1, max_size=255),
)
def test_generated_names_are_legal_and_differ(stack: str, logical_id: str) -> None:
    # GIVEN any stack and logical id
    # WHEN two names are generated
    names = {generated_name(stack, logical_id) for _ in range(2)}

    # THEN they differ, the API takes them, and an ARN, which is in lower case, carries them whole
    assert len(names) == 2
    for name in names:
        assert NAME.fullmatch(name)
        assert len(name) <= MAX_NAME
        assert name == name.lower()


@pytest.mark.parametrize("kind", ["Model", "EndpointConfig"])
def test_unnamed_resources_get_a_name_that_their_arn_tells_again(kind: str) -> None:
    # GIVEN a model or configuration without a name
    type_ = resource(f"AWS::SageMaker::{kind}")
    engine = Engine(**{f"Create{kind}": {f"{kind}Arn": SCOPE.arn("thing/generated-1")}})

    # WHEN it is created, its tags change, and it is deleted
    made = type_.create("Logical", {"Tags": [{"Key": "a", "Value": "1"}]}, "Stack", Api(engine, SCOPE))
    type_.update(made.physical_id, {"Tags": [{"Key": "a", "Value": "1"}]}, {}, Api(engine, SCOPE))
    type_.delete(made.physical_id, {}, Api(engine, SCOPE))

    # THEN Ref is the ARN, GetAtt gives name and ARN, and the delete finds it
    [created] = engine.of(f"Create{kind}")
    assert created[f"{kind}Name"].startswith("stack-logical-")
    assert made.attributes[f"{kind}Name"] == created[f"{kind}Name"]
    assert made.attributes[f"{kind}Arn"] == made.physical_id == SCOPE.arn("thing/generated-1")
    assert engine.of("DeleteTags") == [{"ResourceArn": made.physical_id, "TagKeys": ["a"]}]
    assert engine.of(f"Delete{kind}") == [{f"{kind}Name": "generated-1"}]


@given(count=st.integers(-5, 10_000), share=st.floats(0, 1), flag=st.booleans())
def test_numbers_and_booleans_written_as_text_become_what_the_api_takes(
    count: int, share: float, flag: bool
) -> None:
    # GIVEN a template in which everything is text, as parameters are
    engine = Engine(CreateEndpointConfig={"EndpointConfigArn": SCOPE.arn("endpoint-config/c")})
    variant = {"InitialInstanceCount": str(count), "InitialVariantWeight": str(share), "VariantName": 1}
    capture = {"EnableCapture": str(flag).lower(), "InitialSamplingPercentage": float(count)}

    # WHEN it is created
    resource("AWS::SageMaker::EndpointConfig").create(
        "C", {"ProductionVariants": [variant], "DataCaptureConfig": capture}, "S", Api(engine, SCOPE)
    )

    # THEN the API gets numbers, booleans and strings
    [request] = engine.of("CreateEndpointConfig")
    assert request["ProductionVariants"] == [
        {"InitialInstanceCount": count, "InitialVariantWeight": share, "VariantName": "1"}
    ]
    assert request["DataCaptureConfig"] == {"EnableCapture": flag, "InitialSamplingPercentage": count}


@pytest.mark.parametrize("value", ["many", "1.5", "", "1e999", None, [], {}])
def test_what_is_no_number_is_left_for_the_api_to_refuse(value: Any) -> None:
    # GIVEN a template with something else where a number belongs
    engine = Engine(CreateEndpointConfig={"EndpointConfigArn": SCOPE.arn("endpoint-config/c")})

    # WHEN it is created
    variants = [{"InitialInstanceCount": value, "Unknown": "1"}]
    resource("AWS::SageMaker::EndpointConfig").create(
        "C", {"ProductionVariants": variants}, "S", Api(engine, SCOPE)
    )

    # THEN the API gets it as it is
    assert engine.of("CreateEndpointConfig")[0]["ProductionVariants"] == variants


def test_an_endpoint_is_made_when_it_is_in_service() -> None:
    # GIVEN an endpoint that takes its time
    creating = endpoint("Creating")
    engine = Engine(
        CreateEndpoint={"EndpointArn": ENDPOINT},
        DescribeEndpoint=[creating, creating, endpoint("InService")],
    )
    policy = {"BlueGreenUpdatePolicy": {"TerminationWaitInSeconds": "60"}}

    # WHEN it is created
    made = resource("AWS::SageMaker::Endpoint").create(
        "E",
        {"EndpointName": "shop", "EndpointConfigName": "old", "DeploymentConfig": policy},
        "S",
        Api(engine, SCOPE),
    )

    # THEN it was waited for, and everything that templates read is there
    assert engine.operations == ["CreateEndpoint", *["DescribeEndpoint"] * 3]
    assert engine.of("CreateEndpoint") == [
        {
            "EndpointName": "shop",
            "EndpointConfigName": "old",
            "DeploymentConfig": {"BlueGreenUpdatePolicy": {"TerminationWaitInSeconds": 60}},
        }
    ]
    assert made.physical_id == ENDPOINT
    assert made.attributes["EndpointName"] == "shop"


def test_an_endpoint_that_fails_says_why_and_is_deleted() -> None:
    # GIVEN an endpoint whose model does not load
    failed = endpoint("Failed", reason="The model did not load.")
    engine = Engine(
        CreateEndpoint={"EndpointArn": ENDPOINT},
        DescribeEndpoint=[failed, failed, endpoint("Deleting"), gone()],
    )

    # WHEN it is created
    with pytest.raises(ResourceFailed, match=r"Endpoint shop failed: The model did not load\."):
        resource("AWS::SageMaker::Endpoint").create(
            "E", {"EndpointName": "shop", "EndpointConfigName": "old"}, "S", Api(engine, SCOPE)
        )

    # THEN nothing of it is left, for the stack knows no resource to delete
    assert engine.of("DeleteEndpoint") == [{"EndpointName": "shop"}]


def test_an_update_passes_on_how_to_deploy_and_waits() -> None:
    # GIVEN an endpoint that is being scaled at the moment
    engine = Engine(
        DescribeEndpoint=[
            endpoint("Updating"),
            endpoint("InService"),
            endpoint("Updating"),
            endpoint("InService", "new"),
        ]
    )
    properties = {
        "EndpointName": "shop",
        "EndpointConfigName": "new",
        "RetainAllVariantProperties": "true",
        "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
        "RetainDeploymentConfig": False,
    }

    # WHEN it is updated
    made = resource("AWS::SageMaker::Endpoint").update(
        ENDPOINT, {"EndpointName": "shop", "EndpointConfigName": "old"}, properties, Api(engine, SCOPE)
    )

    # THEN the update came after the scaling, with all that the template says
    assert (
        engine.operations
        == ["DescribeEndpoint", "DescribeEndpoint", "UpdateEndpoint"] + ["DescribeEndpoint"] * 2
    )
    assert engine.of("UpdateEndpoint") == [properties | {"RetainAllVariantProperties": True}]
    assert made.physical_id == ENDPOINT


def test_an_update_that_sagemaker_rolled_back_fails_with_its_reason() -> None:
    # GIVEN a new configuration whose fleet sets off an alarm
    rolled_back = endpoint("InService", "old", "Alarm errors went off.")
    engine = Engine(DescribeEndpoint=[endpoint("InService"), endpoint("Updating"), rolled_back])
    old = {"EndpointName": "shop", "EndpointConfigName": "old"}
    type_ = resource("AWS::SageMaker::Endpoint")

    # WHEN it is updated
    with pytest.raises(ResourceFailed, match=r"rolled back.* old as before: Alarm errors"):
        type_.update(ENDPOINT, old, old | {"EndpointConfigName": "new"}, Api(engine, SCOPE))

    # AND the stack's rollback asks for what serves already
    again = Engine(DescribeEndpoint=rolled_back)
    type_.update(ENDPOINT, old | {"EndpointConfigName": "new"}, old, Api(again, SCOPE))

    # THEN there is no second deployment
    assert again.operations == ["DescribeEndpoint"]


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (
            [endpoint("InService"), endpoint("Failed", reason="Broken.")],
            "update of endpoint shop failed: Broken.",
        ),
        ([endpoint("InService"), gone()], "deleted while it was being updated"),
        ([gone()], "does not exist any more"),
        ([endpoint("InService"), endpoint("InService", "old")], "SageMaker gave no reason"),
    ],
)
def test_an_update_that_comes_to_nothing_says_so(states: list[Any], message: str) -> None:
    # GIVEN an endpoint that does not get where it should
    engine = Engine(DescribeEndpoint=states)
    old = {"EndpointName": "shop", "EndpointConfigName": "old"}

    # WHEN it is updated
    # THEN the resource fails and says what happened
    with pytest.raises(ResourceFailed, match=message):
        resource("AWS::SageMaker::Endpoint").update(
            ENDPOINT, old, old | {"EndpointConfigName": "new"}, Api(engine, SCOPE)
        )


def test_an_endpoint_that_does_not_settle_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN an endpoint that stays in Creating
    engine = Engine(CreateEndpoint={"EndpointArn": ENDPOINT}, DescribeEndpoint=endpoint("Creating"))
    monkeypatch.setattr("sandbox.cloudformation.endpoint.CREATE_LIMIT", 0.0)

    # WHEN it is created
    # THEN there is an end to waiting
    with pytest.raises(ResourceFailed, match="did not stabilize"):
        resource("AWS::SageMaker::Endpoint").create(
            "E", {"EndpointName": "shop", "EndpointConfigName": "old"}, "S", Api(engine, SCOPE)
        )


def test_a_delete_waits_for_what_is_under_way_and_until_it_is_gone() -> None:
    # GIVEN an endpoint that is being updated
    engine = Engine(
        DescribeEndpoint=[endpoint("Updating"), endpoint("InService"), endpoint("Deleting"), gone()]
    )

    # WHEN it is deleted
    resource("AWS::SageMaker::Endpoint").delete(ENDPOINT, {"EndpointName": "shop"}, Api(engine, SCOPE))

    # THEN SageMaker was asked between the two waits
    assert engine.operations == ["DescribeEndpoint"] * 2 + ["DeleteEndpoint"] + ["DescribeEndpoint"] * 2


@pytest.mark.parametrize(
    ("type_name", "physical_id", "properties", "operation", "error"),
    [
        ("AWS::SageMaker::Model", SCOPE.arn("model/shop"), {}, "DeleteModel", gone("model")),
        ("AWS::SageMaker::Endpoint", ENDPOINT, {}, "DescribeEndpoint", gone()),
        (
            "AWS::SageMaker::Pipeline",
            "shop",
            {},
            "DeletePipeline",
            ServiceError("ResourceNotFound", "Pipeline 'shop' does not exist."),
        ),
        (
            "AWS::SageMaker::ModelPackageGroup",
            SCOPE.arn("model-package-group/shop"),
            {},
            "DeleteModelPackageGroup",
            ServiceError("ValidationException", "ModelPackageGroup shop does not exist."),
        ),
        (
            "AWS::ApplicationAutoScaling::ScalableTarget",
            "",
            TARGET,
            "DeregisterScalableTarget",
            ServiceError("ObjectNotFoundException", "No scalable target registered."),
        ),
        (
            "AWS::ApplicationAutoScaling::ScalingPolicy",
            "",
            TARGET | {"PolicyName": "p"},
            "DeleteScalingPolicy",
            ServiceError("ObjectNotFoundException", "No scaling policy found."),
        ),
    ],
)
def test_what_is_not_there_counts_as_deleted_and_other_errors_do_not(
    type_name: str, physical_id: str, properties: Params, operation: str, error: ServiceError
) -> None:
    # GIVEN a resource that somebody has deleted
    # WHEN the stack deletes it
    # THEN that is no error
    resource(type_name).delete(physical_id, properties, Api(Engine(**{operation: error}), SCOPE))

    # BUT any other refusal is
    refused = ServiceError("ValidationException", "It is in use.")
    with pytest.raises(ServiceError, match="in use"):
        resource(type_name).delete(physical_id, properties, Api(Engine(**{operation: refused}), SCOPE))


def test_a_pipelines_definition_comes_as_text_structure_or_place() -> None:
    # GIVEN a definition as text, as a structure, and in S3
    engine = Engine(CreatePipeline={"PipelineArn": SCOPE.arn("pipeline/p")})
    type_ = resource("AWS::SageMaker::Pipeline")
    place = {"Bucket": "b", "Key": "k", "Version": "v", "ETag": "e"}

    # WHEN pipelines are created
    for definition in (
        {"PipelineDefinitionBody": "{}"},
        {"PipelineDefinitionBody": {"Version": "2020-12-01"}},
        {"PipelineDefinitionS3Location": place},
    ):
        made = type_.create(
            "P", {"PipelineName": "p", "PipelineDefinition": definition}, "S", Api(engine, SCOPE)
        )

    # THEN the API gets its own parameters, and Ref is the name
    text, structure, in_s3 = engine.of("CreatePipeline")
    assert text["PipelineDefinition"] == "{}"
    assert structure["PipelineDefinition"] == '{"Version": "2020-12-01"}'
    assert in_s3["PipelineDefinitionS3Location"] == {"Bucket": "b", "ObjectKey": "k", "VersionId": "v"}
    assert made.physical_id == "p"


def test_a_pipeline_is_updated_in_place_with_its_tags() -> None:
    # GIVEN a pipeline
    engine = Engine(UpdatePipeline={"PipelineArn": SCOPE.arn("pipeline/p")})
    old = {"PipelineName": "p", "RoleArn": "r", "Tags": [{"Key": "a", "Value": "1"}]}

    # WHEN role and tags change
    new = {"PipelineName": "p", "RoleArn": "s", "Tags": [{"Key": "a", "Value": "2"}]}
    resource("AWS::SageMaker::Pipeline").update("p", old, new, Api(engine, SCOPE))

    # THEN both reach the API
    assert engine.of("UpdatePipeline") == [{"PipelineName": "p", "RoleArn": "s"}]
    assert engine.of("AddTags") == [{"ResourceArn": SCOPE.arn("pipeline/p"), "Tags": new["Tags"]}]


def test_a_model_package_group_gives_all_its_attributes() -> None:
    # GIVEN a group, and a policy of it as a structure
    arn = SCOPE.arn("model-package-group/g")
    described = {
        "ModelPackageGroupArn": arn,
        "CreationTime": datetime(2026, 11, 24, tzinfo=UTC),
        "ModelPackageGroupStatus": "Completed",
    }
    engine = Engine(
        CreateModelPackageGroup={"ModelPackageGroupArn": arn}, DescribeModelPackageGroup=described
    )

    # WHEN it is created
    properties = {"ModelPackageGroupName": "g", "ModelPackageGroupPolicy": {"Statement": []}}
    made = resource("AWS::SageMaker::ModelPackageGroup").create("G", properties, "S", Api(engine, SCOPE))

    # THEN Ref is the ARN, every attribute of the schema is there, and the policy was put
    assert made.physical_id == arn
    assert made.attributes == {
        "ModelPackageGroupArn": arn,
        "CreationTime": "2026-11-24T00:00:00+00:00",
        "ModelPackageGroupStatus": "Completed",
    }
    assert engine.of("PutModelPackageGroupPolicy") == [
        {"ModelPackageGroupName": "g", "ResourcePolicy": '{"Statement": []}'}
    ]


def test_a_group_whose_policy_is_refused_is_taken_back() -> None:
    # GIVEN a policy that the API refuses
    engine = Engine(
        CreateModelPackageGroup={"ModelPackageGroupArn": SCOPE.arn("model-package-group/g")},
        PutModelPackageGroupPolicy=ServiceError("ValidationException", "Not a policy."),
    )

    # WHEN the group is created
    with pytest.raises(ServiceError, match="Not a policy"):
        resource("AWS::SageMaker::ModelPackageGroup").create(
            "G", {"ModelPackageGroupName": "g", "ModelPackageGroupPolicy": "x"}, "S", Api(engine, SCOPE)
        )

    # THEN the stack leaves no group behind
    assert engine.operations[-1] == "DeleteModelPackageGroup"


def test_a_policy_finds_its_target_by_what_ref_gives() -> None:
    # GIVEN a scalable target, and a policy that names it by Ref
    engine = Engine(
        PutScalingPolicy={"PolicyARN": "arn:policy"}, DescribeScalingPolicies={"ScalingPolicies": []}
    )
    api = Api(engine, SCOPE)
    limits = {"MinCapacity": "1", "MaxCapacity": "4"}
    target = resource("AWS::ApplicationAutoScaling::ScalableTarget").create("T", TARGET | limits, "S", api)

    # WHEN the policy is created and deleted
    policy = {"PolicyName": "p", "PolicyType": "TargetTrackingScaling", "ScalingTargetId": target.physical_id}
    type_ = resource("AWS::ApplicationAutoScaling::ScalingPolicy")
    made = type_.create("P", policy, "S", api)
    type_.delete(made.physical_id, policy, api)

    # THEN Ref of the target is what it is on AWS, and the API gets its three parts
    assert target.physical_id == (
        "endpoint/shop/variant/main|sagemaker:variant:DesiredInstanceCount|sagemaker"
    )
    assert engine.of("RegisterScalableTarget") == [TARGET | {"MinCapacity": 1, "MaxCapacity": 4}]
    assert engine.of("PutScalingPolicy") == [
        TARGET | {"PolicyName": "p", "PolicyType": "TargetTrackingScaling"}
    ]
    assert engine.of("DeleteScalingPolicy") == [TARGET | {"PolicyName": "p"}]
    assert made.physical_id == made.attributes["Arn"] == "arn:policy"


def test_a_policy_neither_takes_over_another_nor_guesses_a_target() -> None:
    # GIVEN a policy of the same name that somebody else has made
    engine = Engine(DescribeScalingPolicies={"ScalingPolicies": [{"PolicyName": "p"}]})
    type_ = resource("AWS::ApplicationAutoScaling::ScalingPolicy")

    # WHEN a stack creates one, or one for a target that is none
    # THEN both are refused
    with pytest.raises(ResourceFailed, match="already exists"):
        type_.create("P", TARGET | {"PolicyName": "p"}, "S", Api(engine, SCOPE))
    with pytest.raises(ResourceFailed, match="is not what Ref gives"):
        type_.create("P", {"PolicyName": "p", "ScalingTargetId": "somewhere"}, "S", Api(engine, SCOPE))


def test_scheduled_actions_come_and_go_with_their_target() -> None:
    # GIVEN a target with two scheduled actions
    engine = Engine()
    action = {"Schedule": "cron(0 8 * * ? *)", "ScalableTargetAction": {"MinCapacity": 2}}
    day, night = ({"ScheduledActionName": name, **action} for name in ("day", "night"))
    old = TARGET | {"ScheduledActions": [day, night]}

    # WHEN one goes, one changes and one comes
    new = TARGET | {
        "ScheduledActions": [day | {"Schedule": "rate(1 hour)"}, night | {"ScheduledActionName": "noon"}]
    }
    resource("AWS::ApplicationAutoScaling::ScalableTarget").update("id", old, new, Api(engine, SCOPE))

    # THEN the API hears of each
    assert [params["ScheduledActionName"] for params in engine.of("DeleteScheduledAction")] == ["night"]
    assert [params["ScheduledActionName"] for params in engine.of("PutScheduledAction")] == ["day", "noon"]


@pytest.mark.parametrize(
    ("type_name", "create_only", "in_place"),
    [
        ("AWS::SageMaker::Model", "PrimaryContainer", "Tags"),
        ("AWS::SageMaker::EndpointConfig", "ProductionVariants", "Tags"),
        ("AWS::SageMaker::Endpoint", "EndpointName", "EndpointConfigName"),
        ("AWS::SageMaker::Pipeline", "PipelineName", "RoleArn"),
        ("AWS::SageMaker::ModelPackageGroup", "ModelPackageGroupDescription", "Tags"),
        ("AWS::ApplicationAutoScaling::ScalableTarget", "ResourceId", "MaxCapacity"),
        ("AWS::ApplicationAutoScaling::ScalingPolicy", "PolicyName", "PolicyType"),
    ],
)
def test_changes_replace_only_what_cannot_change(type_name: str, create_only: str, in_place: str) -> None:
    # GIVEN the resource types
    # WHEN a property changes
    # THEN it replaces the resource exactly where the resource schema calls it create-only
    assert create_only in resource(type_name).replaced_by
    assert in_place not in resource(type_name).replaced_by
