"""ministack's function URLs and HTTP APIs: at URLs that can be reached, and only for signed requests."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.functions import signature
from sandbox.functions.calls import MAX_PAYLOAD_BYTES
from sandbox.ministack_adapter.hooks import module
from sandbox.ministack_adapter.requests import notes
from sandbox.store import Params

MAX_HTTP_API_BYTES = 10 * 1024 * 1024
"""Request to an HTTP API (API Gateway quotas)."""

# the name of a function URL is the first label of its host name, or the word after this path
_URL_ID = re.compile(r"https?://(?:[^/]+/_aws/lambda-url/)?(?P<id>[a-z0-9-]+)")
_API_ROOT = re.compile(r"/_aws/execute-api/[^/]+\Z")


def require_signatures(app: Any, known: Mapping[str, str]) -> None:
    """Refuse requests to fronts with AWS_IAM that are not signed for them.

    Args:
        app: ministack's gateway.
        known: Secrets by access key.
    """
    function_url, execute_api = app._handle_lambda_url_request, app._handle_execute_api_request
    parse = app._parse_execute_api_url

    @functools.wraps(parse)
    def parse_execute_api_url(host: str, path: str) -> Any:
        # without a path of its own: the API's root
        return parse(host, f"{path}/" if _API_ROOT.match(path) else path)

    @functools.wraps(function_url)
    async def to_function(
        host: str, path: str, method: str, headers: dict[str, str], body: bytes, *rest: Any, **named: Any
    ) -> Any:
        found = app._parse_lambda_url(host, path)
        if found is not None:
            if len(body) > MAX_PAYLOAD_BYTES:
                return _too_large("Message")
            resolved = module("services.lambda_svc").resolve_function_url(found[0])
            if resolved is not None and resolved[4].get("AuthType") == "AWS_IAM":
                refusal = _refusal(method, headers, body, "lambda", resolved[1], known)
                if refusal is not None:
                    return refusal
        return await function_url(host, path, method, headers, body, *rest, **named)

    @functools.wraps(execute_api)
    async def to_api(
        host: str, path: str, method: str, headers: dict[str, str], body: bytes, *rest: Any, **named: Any
    ) -> Any:
        found = parse_execute_api_url(host, path)
        if found is not None:
            if len(body) > MAX_HTTP_API_BYTES:
                return _too_large("message")
            scope = module("services.apigateway").find_api_scope(found[0])
            stage, route = app._resolve_stage_and_path(*found)
            kind = app._execute_api_authorization_type(found[0], stage, method, route)
            if scope is not None and kind == "AWS_IAM":
                refusal = _refusal(method, headers, body, "execute-api", scope[1], known)
                if refusal is not None:
                    return refusal
        return await execute_api(host, path, method, headers, body, *rest, **named)

    app._parse_execute_api_url = parse_execute_api_url
    app._handle_lambda_url_request = to_function
    app._handle_execute_api_request = to_api


def _refusal(
    method: str, headers: Mapping[str, str], body: bytes, service: str, region: str, known: Mapping[str, str]
) -> Any:
    words = signature.refusal(
        method=method,
        target=notes().target,
        headers=headers,
        body=body,
        service=service,
        region=region,
        known=known,
    )
    if words is None:
        return None
    wrong = "AccessDeniedException" if words == signature.FORBIDDEN else "InvalidSignatureException"
    member = "Message" if service == "lambda" else "message"
    given = {"Content-Type": "application/json", "x-amzn-ErrorType": wrong}
    return 403, given, json.dumps({member: words}).encode()


def _too_large(member: str) -> Any:
    return (
        413,
        {"Content-Type": "application/json"},
        json.dumps({member: "Request Entity Too Large"}).encode(),
    )


def give_reachable_urls(gateway_url: str) -> None:
    """Make function URLs and HTTP APIs known by paths of the gateway.

    Their host names end in amazonaws.com's or localhost's names, which not every system finds.

    Args:
        gateway_url: For example ``http://127.0.0.1:4566``.
    """
    service = module("services.lambda_svc")
    create = service._create_function_url_config

    def url_id(url: str) -> str:
        found = _URL_ID.match(url)
        return found["id"] if found else ""

    @functools.wraps(create)
    def create_function_url_config(function_name: str, data: Params, qualifier: str | None) -> Any:
        status, headers, body = create(function_name, data, qualifier)
        if status < 300:
            stored = service._function_urls[service._url_config_key(function_name, qualifier)]
            stored["FunctionUrl"] = f"{gateway_url}/_aws/lambda-url/{url_id(stored['FunctionUrl'])}/"
            if qualifier:
                stored["FunctionArn"] = f"{service._func_arn(function_name)}:{qualifier}"
            body = json.dumps(stored).encode()
        return status, headers, body

    service._create_function_url_config = create_function_url_config
    service._function_url_id = url_id
    _give_reachable_apis(gateway_url)


def _give_reachable_apis(gateway_url: str) -> None:
    apis = module("services.apigateway")

    def reachable(api: Params) -> Params:
        if api["protocolType"] == "HTTP":
            api["apiEndpoint"] = f"{gateway_url}/_aws/execute-api/{api['apiId']}"
        return api

    make = apis._create_api

    @functools.wraps(make)
    def create_api(data: Params) -> Any:
        status, headers, body = make(data)
        if status < 300:
            body = json.dumps(reachable(apis._apis[json.loads(body)["apiId"]])).encode()
        return status, headers, body

    apis._create_api = create_api
    handlers = module("services.cloudformation.provisioners")._RESOURCE_HANDLERS

    def with_endpoint(handle: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handle)
        def made(*arguments: Any, **named: Any) -> Any:
            physical_id, attributes = handle(*arguments, **named)
            endpoint = reachable(apis._apis[physical_id])["apiEndpoint"]
            return physical_id, attributes | {"ApiEndpoint": endpoint}

        return made

    api = handlers["AWS::ApiGatewayV2::Api"]
    handlers["AWS::ApiGatewayV2::Api"] = api | {
        "create": with_endpoint(api["create"]),
        "update": with_endpoint(api["update"]),
    }
