"""A thin stand-in for the RDS Data API: its protocol, its types and its limits, before a real PostgreSQL."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pg8000.native
from pg8000.exceptions import DatabaseError

from tests.batch_functions.postgresql_server import OWNER

MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""Of a request (Aurora User Guide, limitations of the Data API)."""

MAX_RESPONSE_BYTES = 1024 * 1024
"""Of what a statement returns (same place)."""

# a text is no JSON and no timestamp for PostgreSQL until the caller casts it or gives a hint, as on AWS
_TYPES = {"stringValue": 1043, "longValue": 20, "doubleValue": 701, "booleanValue": 16, "isNull": 705}
_HINTS = {"JSON": 114, "UUID": 2950, "TIMESTAMP": 1114, "DATE": 1082, "TIME": 1083, "DECIMAL": 1700}
_STATUS = {
    "DatabaseResumingException": 400,
    "StatementTimeoutException": 400,
    "ThrottlingException": 400,
    "ServiceUnavailableError": 503,
    "InternalServerErrorException": 500,
}
Json = dict[str, Any]


class Refused(Exception):
    """The Data API answers with an error."""

    def __init__(self, name: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.name, self.message, self.status = name, message, status


class DataApi:
    """The API, and what tests look at.

    Attributes:
        calls: Names of all calls that arrived, in order, those that were made to fail too.
        largest: Bytes of the largest request.
        failures: Names of errors that the next calls end with; each is used once. A name after ``late:`` is
            the answer to a call that was carried out.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._idle: list[pg8000.native.Connection] = []
        self._transactions: dict[str, pg8000.native.Connection] = {}
        self._lock = threading.Lock()
        self.calls: list[str] = []
        self.largest = 0
        self.failures: list[str] = []

    def call(self, name: str, body: bytes) -> Json:
        """Answer a call.

        Raises:
            Refused: With an error.
        """
        with self._lock:
            self.calls.append(name)
            self.largest = max(self.largest, len(body))
            failure = self.failures.pop(0) if self.failures else ""
        late, _, error = failure.rpartition(":")
        if error and not late:
            raise Refused(error, "made to fail", _STATUS[error])
        if len(body) > MAX_REQUEST_BYTES:
            raise Refused("BadRequestException", "Request size exceeded the limit of 4 MiB", 413)
        answer = self._answer(name, json.loads(body))
        if error:
            raise Refused(error, "made to fail after it was done", _STATUS[error])
        return answer

    def rows(self, sql: str, **values: Any) -> list[list[Any]]:
        """What is in the database, past the API."""
        with self._connection() as connection:
            return connection.run(sql, **values) or []

    def close(self) -> None:
        """Roll back what is open."""
        for connection in [*self._transactions.values(), *self._idle]:
            connection.close()

    def _answer(self, name: str, request: Json) -> Json:
        for required in ("resourceArn", "secretArn"):
            if not request.get(required):
                raise Refused("BadRequestException", f"{required} is missing")
        if name == "BeginTransaction":
            connection = self._idle_one()
            connection.run("BEGIN")
            key = uuid.uuid4().hex
            self._transactions[key] = connection
            return {"transactionId": key}
        if name in {"CommitTransaction", "RollbackTransaction"}:
            connection = self._taken(request["transactionId"])
            connection.run("COMMIT" if name == "CommitTransaction" else "ROLLBACK")
            self._idle.append(connection)
            return {"transactionStatus": "Transaction Committed" if name[0] == "C" else "Rollback Complete"}
        with self._at(request.get("transactionId")) as connection:
            try:
                if name == "BatchExecute":
                    return _batch(connection, request)
                return _execute(connection, request)
            except DatabaseError as error:
                found = error.args[0]
                raise Refused(
                    "DatabaseErrorException", f"ERROR: {found.get('M')}; SQLState: {found.get('C')}"
                ) from None

    @contextmanager
    def _at(self, transaction: str | None) -> Iterator[pg8000.native.Connection]:
        if transaction is None:
            with self._connection() as connection:
                yield connection
            return
        connection = self._taken(transaction)
        try:
            yield connection
        finally:
            self._transactions[transaction] = connection

    def _taken(self, transaction: str) -> pg8000.native.Connection:
        with self._lock:
            if transaction not in self._transactions:
                raise Refused("TransactionNotFoundException", f"Transaction {transaction} is not found", 404)
            return self._transactions.pop(transaction)

    @contextmanager
    def _connection(self) -> Iterator[pg8000.native.Connection]:
        connection = self._idle_one()
        try:
            yield connection
        except BaseException:
            connection.close()  # it may be in the middle of something
            raise
        self._idle.append(connection)

    def _idle_one(self) -> pg8000.native.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return pg8000.native.Connection(OWNER, database="postgres", unix_sock=str(self._socket))


def _execute(connection: pg8000.native.Connection, request: Json) -> Json:
    found = _run(connection, request["sql"], request.get("parameters", []))
    changed = connection.row_count if not connection.columns else 0
    answer: Json = {"generatedFields": [], "numberOfRecordsUpdated": max(0, changed)}
    if connection.columns and request.get("formatRecordsAs") == "JSON":
        names = [column["name"] for column in connection.columns]
        formatted = [dict(zip(names, row, strict=True)) for row in found]
        answer["formattedRecords"] = json.dumps(formatted, ensure_ascii=False, default=str)
    elif connection.columns:
        answer["records"] = [[_field(value) for value in row] for row in found]
    if len(json.dumps(answer).encode()) > MAX_RESPONSE_BYTES:
        raise Refused("BadRequestException", "Database returned more than the allowed response size limit")
    return answer


def _batch(connection: pg8000.native.Connection, request: Json) -> Json:
    own = not request.get("transactionId")
    sets = request.get("parameterSets") or [[]]
    if own:
        connection.run("BEGIN")
    for parameters in sets:
        _run(connection, request["sql"], parameters)
        if connection.columns:
            raise Refused("BadRequestException", "A batch returns no records")
    if own:
        connection.run("COMMIT")
    return {"updateResults": [{"generatedFields": []} for _ in sets]}


def _run(connection: pg8000.native.Connection, sql: str, parameters: list[Json]) -> list[list[Any]]:
    values, types = {}, {}
    for parameter in parameters:
        ((kind, value),) = parameter["value"].items()
        if kind not in _TYPES:
            raise Refused("BadRequestException", f"{kind} parameters are not supported")
        name = parameter["name"]
        values[name] = None if kind == "isNull" else value
        types[name] = _HINTS[parameter["typeHint"]] if "typeHint" in parameter else _TYPES[kind]
    return connection.run(sql, types=types, **values) or []


def _field(value: Any) -> Json:
    if value is None:
        return {"isNull": True}
    if isinstance(value, bool):
        return {"booleanValue": value}
    if isinstance(value, int):
        return {"longValue": value}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, dict | list):
        return {"stringValue": json.dumps(value, ensure_ascii=False)}
    return {"stringValue": str(value)}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 64 * 1024  # head and body in one packet: else the second waits for the first one's receipt
    api: DataApi

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            status, answer, error = 200, self.api.call(self.path.strip("/"), body), ""
        except Refused as refused:
            status, answer, error = refused.status, {"message": refused.message}, refused.name
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        if error:
            self.send_header("x-amzn-errortype", error)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@contextmanager
def serving(socket: Path) -> Iterator[tuple[DataApi, str]]:
    """The API before a PostgreSQL; yields it and its URL.

    Args:
        socket: Of the PostgreSQL.
    """
    api = DataApi(socket)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield api, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        api.close()
        thread.join()
