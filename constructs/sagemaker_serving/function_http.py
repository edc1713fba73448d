"""HTTP in front of a function: a function URL or an HTTP API, both signed with IAM credentials."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import aws_cdk as cdk

from constructs import Construct

from .storage import EncryptionKey, Retention, ServiceLogGroup

if TYPE_CHECKING:
    from aws_cdk import aws_lambda as lambda_


class HttpFront(StrEnum):
    """How HTTP reaches a function; each wants requests signed with IAM credentials (Signature Version 4).

    ``FUNCTION_URL``: Lambda's own, no more cost, waits as long as the function may take.
    ``HTTP_API``: API Gateway, with access logs, throttling and a place for own domain names; gives up after
    30 s.
    """

    FUNCTION_URL = "function_url"
    HTTP_API = "http_api"


def make_front(
    scope: Construct,
    alias: lambda_.Alias,
    kind: HttpFront | None,
    *,
    key: EncryptionKey,
    retention: Retention,
) -> str | None:
    """Put HTTP in front of an alias.

    Args:
        scope: Where it is made.
        alias: What answers.
        kind: Which front; None for none.
        key: Encrypts an HTTP API's access logs.
        retention: How long they are kept.

    Returns:
        The URL; None without a front.
    """
    match kind:
        case HttpFront.FUNCTION_URL:
            from aws_cdk import aws_lambda as lambda_  # only who has a function pays for it

            return alias.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM).url
        case HttpFront.HTTP_API:
            return _http_api(scope, alias, key, retention)
    return None


def _http_api(scope: Construct, alias: lambda_.Alias, key: EncryptionKey, retention: Retention) -> str:
    # here, because only this front needs them and their imports are not free
    from aws_cdk import aws_apigatewayv2 as apigateway
    from aws_cdk.aws_apigatewayv2_authorizers import HttpIamAuthorizer
    from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration

    api = apigateway.HttpApi(
        scope, "HttpApi", description=f"Calls {alias.function_name}", create_default_stage=False
    )
    api.add_routes(
        path="/",
        methods=[apigateway.HttpMethod.POST],
        integration=HttpLambdaIntegration("Function", alias),
        authorizer=HttpIamAuthorizer(),
    )
    group = ServiceLogGroup(
        scope,
        "AccessLogs",
        name=f"/aws/apigateway/{cdk.Stack.of(scope).stack_name}",
        key=key,
        retention=retention,
    )
    stage = apigateway.CfnStage(
        scope,
        "Stage",
        api_id=api.api_id,
        stage_name="$default",
        auto_deploy=True,
        access_log_settings=apigateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=group.arn,
            format='{"requestId":"$context.requestId","ip":"$context.identity.sourceIp",'
            '"time":"$context.requestTime","route":"$context.routeKey","status":"$context.status",'
            '"latency":"$context.responseLatency","error":"$context.integrationErrorMessage"}',
        ),
    )
    stage.node.add_dependency(group)
    return api.api_endpoint
