"""CloudFormation as a custom resource sees it: requests, and a place for the answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sandbox.store import Params


class Stack:
    """Takes answers; refuses the first `refusals` of them with 503."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[Params] = []
        self.refusals = 0
        self.content_types: set[str] = set()

    def request(self, kind: str, physical_id: str = "", **properties: str) -> Params:
        """A request."""
        known = {"PhysicalResourceId": physical_id} if physical_id else {}
        return {
            "RequestType": kind,
            "ResponseURL": f"{self.url}/answer?signature=x",
            "StackId": "arn:aws:cloudformation:r:1:stack/s/1",
            "RequestId": "request-1",
            "LogicalResourceId": "Resource",
            "ResourceType": "Custom::Resource",
            "ResourceProperties": {"ServiceToken": "arn", **properties},
            **known,
        }

    @property
    def answer(self) -> Params:
        """The one answer; there must be exactly one."""
        (answer,) = self.answers
        self.answers = []
        return answer


@contextmanager
def listening() -> Iterator[Stack]:
    """A stack with a server for its answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if stack.refusals:
                stack.refusals -= 1
                self.send_response(503)
            else:
                stack.answers.append(json.loads(body))
                stack.content_types.add(self.headers["Content-Type"])
                self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    stack = Stack(f"http://127.0.0.1:{server.server_port}")
    try:
        yield stack
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
