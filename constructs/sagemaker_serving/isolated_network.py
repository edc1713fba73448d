"""A VPC without a way in or out, for a database that is reached by AWS's own API."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam

from constructs import Construct

from .acknowledgements import acknowledge, acknowledge_used_wildcards
from .model import acknowledge_inline
from .storage import EncryptionKey, Retention, ServiceLogGroup

ZONES = 2
"""Availability Zones: what a database subnet group needs at least."""


class IsolatedNetwork(Construct):
    """A VPC with a subnet in each of two Availability Zones, and nothing else: no internet gateway, no NAT.
    Its traffic is logged.

    Args:
        cidr: Its addresses. Default ``10.0.0.0/24``.
        key: Encrypts the flow logs.
        retention: How long they are kept.

    Attributes:
        vpc: The VPC.
        subnet_ids: Its subnets.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        cidr: str = "10.0.0.0/24",
        key: EncryptionKey,
        retention: Retention,
    ) -> None:
        super().__init__(scope, id_)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(cidr),
            # not looked up at synth, which would need an account to look in
            availability_zones=[cdk.Fn.select(zone, cdk.Fn.get_azs()) for zone in range(ZONES)],
            nat_gateways=0,
            # its rules are never used; emptying them would take a function that may change security groups
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=26
                )
            ],
        )
        self.subnet_ids = [subnet.subnet_id for subnet in self.vpc.isolated_subnets]
        acknowledge(
            self.vpc,
            {
                "VPCDefaultSecurityGroupClosed": "Nothing is in the default security group, and the VPC has "
                "no way in or out."
            },
        )
        self._log_flows(key, retention)

    def _log_flows(self, key: EncryptionKey, retention: Retention) -> None:
        stack = cdk.Stack.of(self)
        group = ServiceLogGroup(
            self, "Logs", name=f"/aws/vpc/{stack.stack_name}", key=key, retention=retention
        )
        role = iam.Role(
            self,
            "FlowLogRole",
            assumed_by=iam.ServicePrincipal(
                "vpc-flow-logs.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            ),
            description=f"Flow logs of {stack.stack_name}",
        )
        streams = f"{group.arn}:*"
        policy = iam.Policy(
            self,
            "FlowLogPolicy",
            roles=[role],
            statements=[
                iam.PolicyStatement(
                    sid="WriteFlowLogs",
                    actions=["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                    resources=[group.arn, streams],
                )
            ],
        )
        acknowledge_inline(policy)
        acknowledge_used_wildcards(policy, {streams: "VPC names the streams; they are of this one group."})
        flow_log = ec2.CfnFlowLog(
            self,
            "FlowLog",
            resource_id=self.vpc.vpc_id,
            resource_type="VPC",
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_group_name=group.ref,
            deliver_logs_permission_arn=role.role_arn,
        )
        flow_log.node.add_dependency(policy)
