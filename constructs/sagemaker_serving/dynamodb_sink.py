"""DynamoDB as the place where a batch workflow's rows land."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam

from constructs import Construct

from .batch_sink import SinkKind
from .errors import Findings
from .limits import check_integer
from .storage import EncryptionKey, Retention
from .tables import KeyedTable

RECORD_ID = "record_id"
"""The table's key."""

JOB_INDEX, JOB_SHARD = "by-job", "job_shard"
"""The index of a job's rows, and its key: job and shard."""

MAX_SHARDS = 1000
"""Beyond it a query of all shards would be slower than what it saves."""


class DynamoDbSink(Construct):
    """A table of scored rows, with an index that finds the rows of a job (see `batch_sink.Sink`).

    The key is the record's id, so a row that is written again replaces itself. The index is cut into shards:
    all rows of a job under one key would be one partition, with 1,000 writes a second, and an index that is
    throttled throttles its table (DynamoDB Developer Guide, global secondary indexes).

    Args:
        key: Encrypts the table.
        retention: Whether the table outlives the stack.
        ttl_days: Days until a row is removed, 1 or more. Default: rows stay.
        index_shards: Keys that a job's rows are spread over, 1 to 1000; each takes 1,000 writes a second.
            Default 16.

    Attributes:
        table: The table.

    Raises:
        InvalidConfiguration: All that is wrong, at once.
    """

    kind = SinkKind.DYNAMODB

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        key: EncryptionKey,
        retention: Retention,
        ttl_days: int | None = None,
        index_shards: int = 16,
    ) -> None:
        super().__init__(scope, id_)
        check_table(findings := Findings(self.node.path), ttl_days=ttl_days, index_shards=index_shards)
        findings.raise_if_any()
        self.index_shards = index_shards
        self.table = KeyedTable(self, "Table", key_name=RECORD_ID, key=key, retention=retention)
        self.table.add_global_secondary_index(
            index_name=JOB_INDEX,
            partition_key=dynamodb.Attribute(name=JOB_SHARD, type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name=RECORD_ID, type=dynamodb.AttributeType.STRING),
            projection_type=dynamodb.ProjectionType.INCLUDE,
            non_key_attributes=["label", "score"],
        )
        self.environment: Mapping[str, str] = {
            "SINK": str(self.kind),
            "TABLE_NAME": self.table.table_name,
            "INDEX_NAME": JOB_INDEX,
            "INDEX_SHARDS": str(index_shards),
            "TTL_DAYS": str(ttl_days or ""),
        }
        self.wildcards: Mapping[str, str] = {}

    @property
    def _index_arn(self) -> str:
        return f"{self.table.table_arn}/index/{JOB_INDEX}"

    def write_statements(self) -> Sequence[iam.PolicyStatement]:
        """See `batch_sink.Sink`."""
        return [
            iam.PolicyStatement(
                sid="CompareAndWriteRows",
                actions=["dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:PutItem"],
                resources=[self.table.table_arn],
            )
        ]

    def count_statements(self) -> Sequence[iam.PolicyStatement]:
        """See `batch_sink.Sink`."""
        return [
            iam.PolicyStatement(sid="CountRows", actions=["dynamodb:Query"], resources=[self._index_arn]),
        ]

    def read_statements(self) -> Sequence[iam.PolicyStatement]:
        """See `batch_sink.Sink`."""
        return [
            iam.PolicyStatement(
                sid="LookUpRows",
                actions=["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"],
                resources=[self.table.table_arn, self._index_arn],
            )
        ]

    def outputs(self) -> Mapping[str, str]:
        """See `batch_sink.Sink`."""
        return {
            "TableName": self.table.table_name,
            "IndexName": JOB_INDEX,
            "IndexShards": str(self.index_shards),
        }

    def metrics(self) -> list[cloudwatch.Metric]:
        """Writes and throttled writes of the table."""
        return [
            cloudwatch.Metric(
                namespace="AWS/DynamoDB",
                metric_name=name,
                dimensions_map={"TableName": self.table.table_name},
                statistic="Sum",
            )
            for name in ("ConsumedWriteCapacityUnits", "WriteThrottleEvents")
        ]


def check_table(findings: Findings, *, ttl_days: int | None, index_shards: int, prefix: str = "") -> None:
    """Note what is wrong with a table's settings.

    Args:
        findings: Where to note it.
        ttl_days: See `DynamoDbSink`.
        index_shards: See `DynamoDbSink`.
        prefix: What stands before the names of both.
    """
    if ttl_days is not None:
        check_integer(
            findings, f"{prefix}ttl_days", ttl_days, low=1, source="whole days; leave it out to keep rows"
        )
    check_integer(
        findings,
        f"{prefix}index_shards",
        index_shards,
        low=1,
        high=MAX_SHARDS,
        source="a count of a job's rows asks every shard",
    )
