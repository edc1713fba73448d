"""Aurora PostgreSQL as the place where a batch workflow's rows land, reached by the Data API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam

from constructs import Construct

from .acknowledgements import Pack, acknowledge, acknowledge_used_wildcards
from .batch_sink import SinkKind
from .errors import Findings
from .isolated_network import IsolatedNetwork
from .limits import check_integer, check_number
from .model import acknowledge_inline
from .storage import EncryptionKey, Retention, ServiceLogGroup

if TYPE_CHECKING:
    from aws_cdk import aws_rds as rds

ENGINE, ENGINE_VERSION = "aurora-postgresql", "17.6"
"""Serverless v2, Data API and pausing at 0 capacity units all have it (Aurora User Guide, supported
features)."""

PARAMETER_FAMILY = "aurora-postgresql17"
DATABASE = "batch"
MAX_CAPACITY = 256.0
"""Aurora capacity units of an instance (API member ServerlessV2ScalingConfiguration.MaxCapacity)."""

_PORT = 5433
_USER = "batch_owner"


@dataclass(frozen=True, kw_only=True)
class DatabaseCapacity:
    """How big the database may be, in Aurora capacity units of 2 GiB of memory.

    Args:
        minimum: 0 to 256 in steps of 0.5; 0 lets it pause after five minutes without a call, and the next one
            waits some 15 s. Default 0.5.
        maximum: 1 to 256 in steps of 0.5, not below the minimum. Default 4.
        instances: 1 writer and 0 to 14 readers, which take over when the writer fails. Default 1.

    Raises:
        InvalidConfiguration: All that is wrong with the values, at once.
    """

    minimum: float = 0.5
    maximum: float = 4
    instances: int = 1

    def __post_init__(self) -> None:
        findings = Findings("DatabaseCapacity")
        source = "API shape ServerlessV2ScalingConfiguration"
        for name, low in (("minimum", 0.0), ("maximum", 1.0)):
            value = getattr(self, name)
            if check_number(findings, name, value, low=low, source=source):
                findings.require(
                    value <= MAX_CAPACITY and (value * 2) == int(value * 2),
                    name,
                    value,
                    f"is at most {MAX_CAPACITY:g}, in steps of 0.5 ({source})",
                    "give for example 0.5, 1 or 4",
                )
        if not findings.found:
            findings.require(
                self.minimum <= self.maximum,
                "maximum",
                self.maximum,
                f"is not below the minimum, {self.minimum:g}",
                "raise it",
            )
        check_integer(
            findings, "instances", self.instances, low=1, high=15, source="Aurora quotas: 15 instances"
        )
        findings.raise_if_any()


class PostgreSqlSink(Construct):
    """A serverless Aurora PostgreSQL cluster for scored rows (see `batch_sink.Sink`).

    It lies in a VPC without a way in or out; functions and clients reach it by the Data API, over TLS and by
    IAM. Amazon RDS makes the owner's password, keeps it in Secrets Manager and changes it each week. The
    table is made by the first execution that writes into it.

    Args:
        cluster_name: 1 to 63 lower-case letters, digits and hyphens; stable, as its log group goes by it.
        key: Encrypts the database, its logs and the secret.
        retention: Whether the cluster outlives the stack, and how long logs are kept.
        capacity: Default `DatabaseCapacity()`.

    Attributes:
        network: The VPC.
        cluster: The cluster.
        cluster_arn: Its ARN.
        secret_arn: The owner's secret.
    """

    kind = SinkKind.POSTGRESQL

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        cluster_name: str,
        key: EncryptionKey,
        retention: Retention,
        capacity: DatabaseCapacity | None = None,
    ) -> None:
        super().__init__(scope, id_)
        self._key = key
        size = capacity or DatabaseCapacity()
        self.network = IsolatedNetwork(self, "Network", key=key, retention=retention)
        self.cluster = self._cluster(cluster_name.lower(), key, retention, size)
        monitor = self._monitor_role(cluster_name)
        for number in range(size.instances):
            self._instance(number, monitor, key, retention)
        self.cluster_arn: str = self.cluster.attr_db_cluster_arn
        self.secret_arn: str = self.cluster.attr_master_user_secret_secret_arn
        self.environment: Mapping[str, str] = {
            "SINK": str(self.kind),
            "CLUSTER_ARN": self.cluster_arn,
            "SECRET_ARN": self.secret_arn,
            "DATABASE": DATABASE,
        }
        self.wildcards: Mapping[str, str] = {}

    def write_statements(self) -> Sequence[iam.PolicyStatement]:
        """See `batch_sink.Sink`."""
        return [
            iam.PolicyStatement(
                sid="RunStatements",
                actions=["rds-data:BatchExecuteStatement", "rds-data:ExecuteStatement"],
                resources=[self.cluster_arn],
            ),
            self._read_secret(),
        ]

    def count_statements(self) -> Sequence[iam.PolicyStatement]:
        """See `batch_sink.Sink`."""
        return [
            iam.PolicyStatement(
                sid="CountRows", actions=["rds-data:ExecuteStatement"], resources=[self.cluster_arn]
            ),
            self._read_secret(),
        ]

    def read_statements(self) -> Sequence[iam.PolicyStatement]:
        """See `batch_sink.Sink`; the Data API knows no reader's rights, so this is the owner's secret."""
        return self.count_statements()

    def outputs(self) -> Mapping[str, str]:
        """See `batch_sink.Sink`."""
        return {"ClusterArn": self.cluster_arn, "SecretArn": self.secret_arn, "Database": DATABASE}

    def metrics(self) -> list[cloudwatch.Metric]:
        """Capacity in use."""
        return [
            cloudwatch.Metric(
                namespace="AWS/RDS",
                metric_name="ServerlessDatabaseCapacity",
                dimensions_map={"DBClusterIdentifier": self.cluster.ref},
                statistic="Average",
            )
        ]

    def _read_secret(self) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            sid="ReadPassword", actions=["secretsmanager:GetSecretValue"], resources=[self.secret_arn]
        )

    def _cluster(
        self, name: str, key: EncryptionKey, retention: Retention, size: DatabaseCapacity
    ) -> rds.CfnDBCluster:
        from aws_cdk import aws_ec2 as ec2
        from aws_cdk import aws_rds as rds

        closed = ec2.CfnSecurityGroup(
            self,
            "Closed",
            group_description="No rule: the Data API needs none",
            vpc_id=self.network.vpc.attr_vpc_id,
            # without one, AWS adds a rule that lets everything out
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="icmp",
                    cidr_ip="255.255.255.255/32",
                    from_port=252,
                    to_port=86,
                    description="matches nothing",
                )
            ],
        )
        subnets = rds.CfnDBSubnetGroup(
            self,
            "Subnets",
            db_subnet_group_description=f"Isolated subnets of {cdk.Stack.of(self).stack_name}",
            subnet_ids=self.network.subnet_ids,
        )
        parameters = rds.CfnDBClusterParameterGroup(
            self,
            "Parameters",
            description="TLS only; statements that take long are logged",
            family=PARAMETER_FAMILY,
            parameters={"rds.force_ssl": "1", "log_min_duration_statement": "1000"},
        )
        pausing = 300 if size.minimum == 0 else None
        cluster = rds.CfnDBCluster(
            self,
            "Cluster",
            db_cluster_identifier=name,
            engine=ENGINE,
            engine_version=ENGINE_VERSION,
            database_name=DATABASE,
            port=_PORT,
            db_subnet_group_name=subnets.ref,
            db_cluster_parameter_group_name=parameters.ref,
            vpc_security_group_ids=[closed.attr_group_id],
            enable_http_endpoint=True,
            enable_iam_database_authentication=True,
            enable_cloudwatch_logs_exports=["postgresql"],
            storage_encrypted=True,
            kms_key_id=key.key_arn,
            master_username=_USER,
            manage_master_user_password=True,
            master_user_secret=rds.CfnDBCluster.MasterUserSecretProperty(kms_key_id=key.key_arn),
            backup_retention_period=35 if retention.keep_data else 1,
            copy_tags_to_snapshot=True,
            deletion_protection=retention.keep_data,
            serverless_v2_scaling_configuration=rds.CfnDBCluster.ServerlessV2ScalingConfigurationProperty(
                min_capacity=size.minimum, max_capacity=size.maximum, seconds_until_auto_pause=pausing
            ),
        )
        cluster.apply_removal_policy(retention.removal_policy)
        cluster.node.add_dependency(
            ServiceLogGroup(
                self, "Logs", name=f"/aws/rds/cluster/{name}/postgresql", key=key, retention=retention
            )
        )
        if not retention.keep_data:
            gone = "A development database: it goes with its stack, and its rows can be computed again."
            acknowledge(cluster, {"RDS10": gone}, Pack.AWS_SOLUTIONS)
            acknowledge(cluster, {"RDSInstanceDeletionProtectionEnabled": gone}, Pack.NIST, Pack.HIPAA)
        return cluster

    def _monitor_role(self, name: str) -> iam.Role:
        """For what an instance's operating system measures, each minute; with what AWS's managed policy
        AmazonRDSEnhancedMonitoringRole has, in this account and Region."""
        role = iam.Role(
            self,
            "MonitorRole",
            assumed_by=iam.ServicePrincipal("monitoring.rds.amazonaws.com"),
            description=f"Enhanced monitoring of {name}",
        )
        groups = f"arn:{cdk.Aws.PARTITION}:logs:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:log-group:RDSOSMetrics"
        policy = iam.Policy(
            self,
            "MonitorPolicy",
            roles=[role],
            statements=[
                iam.PolicyStatement(
                    sid="WriteMeasurements",
                    actions=[
                        "logs:CreateLogGroup",
                        "logs:CreateLogStream",
                        "logs:DescribeLogStreams",
                        "logs:GetLogEvents",
                        "logs:PutLogEvents",
                        "logs:PutRetentionPolicy",
                    ],
                    resources=[groups, f"{groups}:*"],
                )
            ],
        )
        acknowledge_inline(policy)
        acknowledge_used_wildcards(policy, {f"{groups}:*": "RDS names the streams, one for each instance."})
        return role

    def _instance(self, number: int, monitor: iam.Role, key: EncryptionKey, retention: Retention) -> None:
        from aws_cdk import aws_rds as rds

        instance = rds.CfnDBInstance(
            self,
            f"Instance{number}",
            db_cluster_identifier=self.cluster.ref,
            db_instance_class="db.serverless",
            engine=ENGINE,
            publicly_accessible=False,
            auto_minor_version_upgrade=True,
            enable_performance_insights=True,
            performance_insights_kms_key_id=key.key_arn,
            monitoring_interval=60,
            monitoring_role_arn=monitor.role_arn,
            promotion_tier=number,
        )
        instance.node.add_dependency(self.node.find_child("MonitorPolicy"))
        instance.apply_removal_policy(retention.removal_policy)
        acknowledge(
            instance,
            {
                "RDSInBackupPlan": "Aurora keeps backups of its own, and every row can be computed again "
                "from its input."
            },
            Pack.NIST,
            Pack.HIPAA,
        )
