"""Where rows land: the table and the database, what is refused of them, and who may do what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Match, Template

from sagemaker_serving.batch_sink import Sink
from sagemaker_serving.dynamodb_sink import DynamoDbSink
from sagemaker_serving.errors import InvalidConfiguration
from sagemaker_serving.postgresql_sink import DatabaseCapacity, PostgreSqlSink
from sagemaker_serving.storage import EncryptionKey, Retention

Synthesised = Callable[[], Template]
THROWN_AWAY, KEPT = Retention(keep_data=False), Retention(keep_data=True)


def table(stack: cdk.Stack, key: EncryptionKey, **arguments: Any) -> DynamoDbSink:
    return DynamoDbSink(stack, "Sink", key=key, **{"retention": THROWN_AWAY, **arguments})


def database(stack: cdk.Stack, key: EncryptionKey, **arguments: Any) -> PostgreSqlSink:
    given: dict[str, Any] = {"retention": THROWN_AWAY, "cluster_name": "batch-dev", **arguments}
    return PostgreSqlSink(stack, "Sink", key=key, **given)


def allowed(statements: Any) -> set[str]:
    return {action for item in statements for action in item.actions}


def test_the_table_is_on_demand_encrypted_restorable_and_expires_rows(
    stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised
) -> None:
    table(stack, key)
    synthesised().has_resource_properties(
        "AWS::DynamoDB::Table",
        {
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "record_id", "KeyType": "HASH"}],
            "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": Match.any_value()},
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
            "DeletionProtectionEnabled": False,
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "by-job",
                    "KeySchema": [
                        {"AttributeName": "job_shard", "KeyType": "HASH"},
                        {"AttributeName": "record_id", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["label", "score"]},
                }
            ],
        },
    )


def test_a_table_that_is_kept_cannot_be_deleted_by_mistake(
    stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised
) -> None:
    table(stack, key, retention=KEPT)
    synthesised().has_resource(
        "AWS::DynamoDB::Table",
        {"DeletionPolicy": "RetainExceptOnCreate", "Properties": {"DeletionProtectionEnabled": True}},
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ttl_days": 0}, "ttl_days = 0: must be a whole number of at least 1"),
        ({"index_shards": 0}, "index_shards = 0: must be a whole number from 1 to 1000"),
        ({"index_shards": 1001}, "index_shards = 1001"),
    ],
)
def test_tables_that_cannot_be_are_refused(
    stack: cdk.Stack, key: EncryptionKey, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidConfiguration, match="Test/Sink") as refused:
        table(stack, key, **arguments)
    assert message in str(refused.value)


@pytest.mark.parametrize("make", [table, database])
def test_a_sink_tells_functions_and_clients_where_it_is(
    stack: cdk.Stack, key: EncryptionKey, make: Callable[..., Sink]
) -> None:
    # GIVEN either sink THEN functions know its kind, and its place is an output
    made = make(stack, key)
    assert made.environment["SINK"] == str(made.kind)
    assert set(made.outputs().values()) <= set(made.environment.values())
    # AND who counts or reads may not write
    reading = allowed([*made.count_statements(), *made.read_statements()])
    assert not {
        action for action in reading if any(verb in action for verb in ("Write", "Put", "Batch", "Commit"))
    } - {"dynamodb:BatchGetItem"}
    # AND nobody has a wildcard
    statements = [*made.write_statements(), *made.count_statements(), *made.read_statements()]
    assert not any("*" in str(stack.resolve(item.resources)) for item in statements)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"minimum": -1}, "minimum = -1: must be a finite number of at least 0"),
        ({"minimum": 0.3}, "minimum = 0.3: is at most 256, in steps of 0.5"),
        ({"maximum": 0.5}, "maximum = 0.5: must be a finite number of at least 1"),
        ({"maximum": 257}, "maximum = 257: is at most 256"),
        ({"minimum": 8, "maximum": 4}, "maximum = 4: is not below the minimum, 8"),
        ({"instances": 0}, "instances = 0: must be a whole number from 1 to 15"),
        ({"instances": 16}, "instances = 16"),
    ],
)
def test_capacities_that_aurora_does_not_have_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration, match="DatabaseCapacity") as refused:
        DatabaseCapacity(**arguments)
    assert message in str(refused.value)


def test_the_database_is_encrypted_and_has_no_way_in_but_the_data_api(
    stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised
) -> None:
    database(stack, key)
    template = synthesised()
    template.has_resource_properties(
        "AWS::RDS::DBCluster",
        {
            "Engine": "aurora-postgresql",
            "EnableHttpEndpoint": True,
            "StorageEncrypted": True,
            "KmsKeyId": Match.any_value(),
            "ManageMasterUserPassword": True,
            "MasterUserPassword": Match.absent(),
            "MasterUserSecret": {"KmsKeyId": Match.any_value()},
            "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4},
        },
    )
    template.has_resource_properties("AWS::RDS::DBInstance", {"PubliclyAccessible": False})
    # AND its network has neither a gateway nor a rule that lets anything in
    for kind in ("InternetGateway", "NatGateway", "EIP", "SecurityGroupIngress"):
        template.resource_count_is(f"AWS::EC2::{kind}", 0)
    (group,) = template.find_resources("AWS::EC2::SecurityGroup").values()
    assert "SecurityGroupIngress" not in group["Properties"]
    template.resource_count_is("AWS::EC2::FlowLog", 1)


@pytest.mark.parametrize(("retention", "backups"), [(THROWN_AWAY, 1), (KEPT, 35)])
def test_a_database_that_is_kept_is_protected(
    stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised, retention: Retention, backups: int
) -> None:
    database(stack, key, retention=retention, capacity=DatabaseCapacity(instances=2))
    template = synthesised()
    template.has_resource_properties(
        "AWS::RDS::DBCluster",
        {"DeletionProtection": retention.keep_data, "BackupRetentionPeriod": backups},
    )
    template.resource_count_is("AWS::RDS::DBInstance", 2)


def test_a_database_with_nothing_to_do_pauses(
    stack: cdk.Stack, key: EncryptionKey, synthesised: Synthesised
) -> None:
    database(stack, key, capacity=DatabaseCapacity(minimum=0, maximum=2))
    synthesised().has_resource_properties(
        "AWS::RDS::DBCluster",
        {
            "ServerlessV2ScalingConfiguration": {
                "MinCapacity": 0,
                "MaxCapacity": 2,
                "SecondsUntilAutoPause": 300,
            }
        },
    )
