"""The container contract, and AWS's handler semantics behind it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from sandbox.model_server import EXIT_LOAD_FAILED
from tests.sandbox_fleet.world import ECHO, Server, alive, wait_for

Serve = Callable[..., Server]
ROOT = Path(__file__).parents[2]


def test_ping_is_200_with_an_empty_body(serve: Serve) -> None:
    answer = serve(ECHO).client.get("/ping")
    assert (answer.status_code, answer.content) == (200, b"")


def test_an_invocation_passes_the_handlers_and_gets_the_accept_it_asked_for(serve: Serve) -> None:
    answer = serve(ECHO).invoke(b'{"a": 1}', accept="application/jsonlines")
    assert (answer.status_code, answer.content) == (200, b'{"a": 1}')
    assert answer.headers["content-type"] == "application/jsonlines"


@pytest.mark.parametrize(("accept", "expected"), [("*/*", "text/csv"), ("text/plain", "text/plain")])
def test_the_default_accept_comes_from_the_environment(serve: Serve, accept: str, expected: str) -> None:
    server = serve(ECHO, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv")
    assert server.invoke(b"x", accept=accept).headers["content-type"] == expected


def test_a_tuple_gives_body_and_content_type(serve: Serve) -> None:
    code = """
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept): return "annyeong 안녕", "text/plain; charset=utf-8"
"""
    answer = serve(code).invoke(b"{}")
    assert (answer.text, answer.headers["content-type"]) == ("annyeong 안녕", "text/plain; charset=utf-8")


def test_json_and_csv_arrive_as_text_and_other_types_as_bytes(serve: Serve) -> None:
    server = serve(
        "def model_fn(d): return None\n"
        "def transform_fn(model, data, content_type, accept): return type(data).__name__"
    )
    kinds = [server.invoke(b"1", content_type=t).text for t in ("application/json", "text/csv", "text/plain")]
    assert kinds == ["str", "str", "bytes"]


def test_the_toolkits_own_decoders_and_encoders_serve_what_the_script_leaves_out(serve: Serve) -> None:
    # GIVEN a script without input_fn and output_fn, WHEN each default format goes in
    server = serve("def model_fn(d): return 2\ndef predict_fn(data, model): return data * model")
    # THEN numpy arrays are decoded and encoded, npz through scipy, which is imported only now
    assert server.invoke(b"[1, 2]").json() == [2, 4]
    assert server.invoke(b"1,2", content_type="text/csv", accept="text/csv").text.split() == ["2", "4"]
    packed = subprocess.run(
        [sys.executable, "-c", "import sys, scipy.sparse as s; s.save_npz(sys.stdout.buffer, s.eye(2))"],
        capture_output=True,
        check=True,
    ).stdout
    answer = server.invoke(packed, content_type="application/x-npz", accept="application/json")
    assert answer.status_code == 500  # a sparse matrix has no JSON: the toolkit's own limit
    assert "sparse" in answer.text or "serializable" in answer.text


def test_a_script_may_import_the_real_scipy(serve: Serve) -> None:
    code = """
import scipy.sparse, scipy.sparse.linalg
def model_fn(model_dir): return scipy.sparse.eye(3)
def transform_fn(model, data, content_type, accept): return str(model.shape)
"""
    assert serve(code).invoke(b"{}").text == "(3, 3)"


def test_handlers_may_take_the_context(serve: Serve) -> None:
    code = """
def model_fn(model_dir, context): return context.system_properties["model_dir"] == model_dir
def transform_fn(model, data, content_type, accept, context):
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "trace=1")
    return str(model) + context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")
"""
    answer = serve(code).invoke(b"{}", **{"x-amzn-sagemaker-custom-attributes": "id-7"})
    assert answer.text == "Trueid-7"
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"


def test_each_worker_sees_its_own_request_in_the_context(serve: Serve) -> None:
    # GIVEN two workers whose handlers wait for each other
    code = """
import threading
both = threading.Barrier(2, timeout=10)
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept, context):
    both.wait()
    return data + context.get_request_header(0, "who")
"""
    server = serve(code, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    answers: dict[str, str] = {}

    def call(who: str) -> None:
        answers[who] = server.invoke(who.encode(), who=who).text

    # WHEN both run at once
    threads = [threading.Thread(target=call, args=(who,)) for who in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # THEN neither sees the other's headers
    assert answers == {"a": "aa", "b": "bb"}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def predict_fn(data, model): raise KeyError('gone')", "'gone'"),
        ("def predict_fn(data): return data", "predict_fn takes 1 arguments but 2 were given."),
        ("def output_fn(prediction, accept): return object()", "not JSON serializable"),
    ],
)
def test_an_error_in_a_handler_is_a_500_with_the_toolkits_text(serve: Serve, code: str, message: str) -> None:
    server = serve(ECHO + code)
    answer = server.invoke(b"{}")
    assert answer.status_code == 500
    assert message in answer.text.split("Traceback")[0]
    assert "Traceback (most recent call last)" in answer.text
    assert server.client.get("/ping").status_code == 200


def test_a_toolkit_error_chooses_its_status(serve: Serve) -> None:
    code = """
from sagemaker_inference.errors import BaseInferenceToolkitError
def predict_fn(data, model): raise BaseInferenceToolkitError(422, "too long", "at most 512")
"""
    answer = serve(ECHO + code).invoke(b"{}")
    assert answer.status_code == 422
    assert answer.text.startswith("too long\n")


def test_an_unknown_content_type_is_refused_by_the_default_decoder(serve: Serve) -> None:
    answer = serve("def model_fn(d): return 1\ndef predict_fn(x, m): return x").invoke(
        b"x", content_type="image/png"
    )
    assert answer.status_code == 500
    assert "Content type image/png is not supported by this framework" in answer.text


def test_the_scikit_learn_image_predicts_without_a_predict_fn(serve: Serve) -> None:
    code = """
class Twice:
    def predict(self, rows): return rows * 2
def model_fn(model_dir): return Twice()
"""
    assert serve(code, "--framework=sklearn").invoke(b"[[1, 2]]").json() == [[2, 4]]
    assert serve(code).invoke(b"[[1, 2]]").status_code == 500


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/ping", 405),
        ("GET", "/invocations", 405),
        ("GET", "/", 404),
        ("POST", "/invocations/x", 404),
    ],
)
def test_other_requests_are_refused(serve: Serve, method: str, path: str, status: int) -> None:
    answer = serve(ECHO).client.request(method, path)
    assert answer.status_code == status
    assert "/invocations" in answer.text or "/ping" in answer.text


def test_a_header_value_cannot_smuggle_another_header(serve: Serve) -> None:
    code = "def output_fn(p, accept): return p, 'text/plain\\r\\nx-evil: 1'"
    answer = serve(ECHO + code).invoke(b"{}")
    assert answer.status_code == 200
    assert "x-evil" not in answer.headers


def test_a_slow_model_does_not_hold_up_pings(serve: Serve, tmp_path: Path) -> None:
    # GIVEN an invocation that lasts until a file appears
    go = tmp_path / "go"
    code = f"""
import os, time
def predict_fn(data, model):
    while not os.path.exists({str(go)!r}): time.sleep(0.01)
    return data
"""
    server = serve(ECHO + code)
    answers: list[httpx.Response] = []
    call = threading.Thread(target=lambda: answers.append(server.invoke(b"done")))
    call.start()
    # WHEN it is under way, THEN pings are answered
    for _ in range(5):
        assert server.client.get("/ping").status_code == 200
    assert not answers
    go.touch()
    call.join()
    assert answers[0].content == b"done"


@pytest.mark.parametrize(
    ("code", "last_line"),
    [
        ("raise RuntimeError('cannot load')", "RuntimeError: cannot load"),
        ("def model_fn(model_dir): import sys; sys.exit(0)", "SystemExit: 0"),
        ("def model_fn(): return 1", "TypeError: model_fn takes 0 arguments but 1 were given."),
        (
            "def model_fn(d): return 1\ndef transform_fn(a, b, c, d): return 1\ndef input_fn(a, b): return 1",
            "ValueError: Cannot use transform_fn implementation in conjunction with "
            "input_fn, predict_fn, and/or output_fn implementation",
        ),
    ],
)
def test_a_model_that_does_not_load_ends_the_server_with_its_own_status(
    tmp_path: Path, code: str, last_line: str
) -> None:
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / "inference.py").write_text(code)
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox.model_server"],
        env={"PATH": os.environ["PATH"], "SAGEMAKER_BASE_DIR": str(tmp_path), "SAGEMAKER_BIND_TO_PORT": "0"},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
    )
    assert ended.returncode == EXIT_LOAD_FAILED
    assert ended.stderr.strip().splitlines()[-1] == last_line


def test_sigterm_lets_invocations_finish(serve: Serve, tmp_path: Path) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    code = f"""
import os, time
def predict_fn(data, model):
    open({str(started)!r}, "w").close()
    while not os.path.exists({str(go)!r}): time.sleep(0.01)
    return data
"""
    server = serve(ECHO + code)
    answers: list[httpx.Response] = []
    call = threading.Thread(target=lambda: answers.append(server.invoke(b"done")))
    call.start()
    wait_for(started.exists)
    # WHEN the server is asked to stop
    server.process.terminate()
    wait_for(lambda: _refuses(server))
    go.touch()
    call.join()
    # THEN the invocation is answered, and the server ends
    assert answers[0].content == b"done"
    assert server.process.wait(10) in (0, -signal.SIGTERM)


def test_network_isolation_refuses_connections_but_not_invocations(serve: Serve) -> None:
    code = """
import socket
def predict_fn(data, model):
    refused = []
    for attempt in (
        lambda: socket.create_connection(("127.0.0.1", 9), 1),
        lambda: socket.getaddrinfo("localhost", 80),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    ):
        try: attempt()
        except PermissionError as error: refused.append(str(error))
    return "\\n".join(refused)
"""
    text = serve(ECHO + code, "--network-isolation").invoke(b"{}").text
    assert text.count("EnableNetworkIsolation") == 3
    assert "EnableNetworkIsolation" not in serve(ECHO + code).invoke(b"{}").text


def test_the_models_code_does_not_see_the_repository(serve: Serve) -> None:
    code = f"""
import sys, os
def predict_fn(data, model): return str([p for p in sys.path if os.path.realpath(p or ".") == {str(ROOT)!r}])
"""
    assert serve(ECHO + code).invoke(b"{}").text == "[]"


def test_a_port_that_is_taken_is_named(tmp_path: Path, serve: Serve) -> None:
    port = serve(ECHO).client.base_url.port
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox.model_server"],
        env={"PATH": os.environ["PATH"], "SAGEMAKER_BIND_TO_PORT": str(port)},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
    )
    assert ended.returncode != 0
    assert f"port {port} is taken" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_server_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    # GIVEN a parent that started a server, busy in its model's load, with a child of its own
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / "inference.py").write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid) + '\\n')\n"
        "def model_fn(model_dir):\n"
        "    while True: time.sleep(1)\n"
    )
    parent_code = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-m', 'sandbox.model_server', '--lifeline'],"
        " stdin=subprocess.PIPE, start_new_session=True)\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "SAGEMAKER_BASE_DIR": str(tmp_path),
        "SAGEMAKER_BIND_TO_PORT": "0",
    }
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    child = tmp_path / "child"
    wait_for(lambda: child.exists() and child.read_text().endswith("\n"))
    assert alive(server)
    # WHEN the parent is killed
    parent.kill()
    parent.communicate()
    # THEN neither lives on
    wait_for(lambda: not alive(server) and not alive(int(child.read_text())))


def _refuses(server: Server) -> bool:
    try:
        httpx.get(server.client.base_url.join("/ping"), timeout=5, trust_env=False)
    except httpx.TransportError:
        return True
    return False
