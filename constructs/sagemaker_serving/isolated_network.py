"""A VPC without a way in or out, for a database that is reached by AWS's own API."""

from __future__ import annotations

import ipaddress

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from constructs import Construct

from .acknowledgements import acknowledge, acknowledge_used_wildcards
from .model import acknowledge_inline
from .storage import EncryptionKey, Retention, ServiceLogGroup

ZONES = 2
"""Availability Zones: what a database subnet group needs at least."""


class IsolatedNetwork(Construct):
    """A VPC with a subnet in each of two Availability Zones, and nothing else: no internet gateway, no NAT.
    Its traffic is logged. Its one route table knows the VPC alone.

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
        from aws_cdk import aws_ec2 as ec2

        super().__init__(scope, id_)
        # not ec2.Vpc, which looks up the account's zones at synth, even where it is told which ones to take
        self.vpc = ec2.CfnVPC(
            self, "Vpc", cidr_block=cidr, enable_dns_support=True, enable_dns_hostnames=True
        )
        blocks = ipaddress.ip_network(cidr).subnets(prefixlen_diff=ZONES.bit_length())
        self.subnet_ids = [
            ec2.CfnSubnet(
                self,
                f"Isolated{zone}",
                vpc_id=self.vpc.attr_vpc_id,
                availability_zone=cdk.Fn.select(zone, cdk.Fn.get_azs()),
                cidr_block=str(block),
                map_public_ip_on_launch=False,
            ).attr_subnet_id
            for zone, block in zip(range(ZONES), blocks, strict=False)
        ]
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
        from aws_cdk import aws_ec2 as ec2

        flow_log = ec2.CfnFlowLog(
            self,
            "FlowLog",
            resource_id=self.vpc.attr_vpc_id,
            resource_type="VPC",
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_group_name=group.ref,
            deliver_logs_permission_arn=role.role_arn,
        )
        flow_log.node.add_dependency(policy)
