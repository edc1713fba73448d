"""A DynamoDB table as this project keeps them: on demand, encrypted with the stack's key, restorable."""

from __future__ import annotations

from aws_cdk import aws_dynamodb as dynamodb

from constructs import Construct

from .acknowledgements import Pack, acknowledge
from .storage import EncryptionKey, Retention

EXPIRY_ATTRIBUTE = "expires_at"
"""When an item may be removed, in seconds since 1970; an item without it stays."""


class KeyedTable(dynamodb.Table):
    """A table with a text as its only key. It can be restored to any second of the last 35 days, and bills by
    request.

    Args:
        key_name: The attribute that identifies an item.
        key: Encrypts the table.
        retention: Whether the table outlives the stack; then it is also protected from being deleted.
    """

    def __init__(
        self, scope: Construct, id_: str, *, key_name: str, key: EncryptionKey, retention: Retention
    ) -> None:
        super().__init__(
            scope,
            id_,
            partition_key=dynamodb.Attribute(name=key_name, type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute=EXPIRY_ATTRIBUTE,
            deletion_protection=retention.keep_data,
            removal_policy=retention.removal_policy,
        )
        acknowledge(
            self,
            {
                "DynamoDBInBackupPlan": "Point-in-time recovery restores any second of the last 35 days, and "
                "every row can be computed again from its input."
            },
            Pack.NIST,
            Pack.HIPAA,
        )
