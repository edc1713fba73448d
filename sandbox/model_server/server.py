"""Loads the model, then serves it."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from sandbox.model_server import EXIT_LOAD_FAILED
from sandbox.model_server.guards import end_with_parent, isolate_network
from sandbox.model_server.handlers import Handlers


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; in-flight invocations are finished first.

    Returns:
        The exit status: `EXIT_LOAD_FAILED` when the model did not load.
    """
    options = _parser().parse_args(arguments)
    if options.lifeline:
        end_with_parent()
    listener = socket.socket(fileno=options.fd) if options.fd is not None else _listen()
    base_dir = os.environ.setdefault("SAGEMAKER_BASE_DIR", "/opt/ml")
    model_dir = os.path.join(base_dir, "model")  # noqa: PTH118  (as the toolkit forms it)
    _put_on_path(options.code_dir or f"{model_dir}/code")
    workers = ThreadPoolExecutor(_worker_count(), thread_name_prefix="model")
    if options.network_isolation:
        isolate_network()
    try:
        started = time.perf_counter()
        handlers = Handlers(model_dir, options.framework)
        # on a worker, because some libraries keep settings and handles per thread
        workers.submit(handlers.load).result()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(EXIT_LOAD_FAILED)  # threads that the model left behind must not hold the process up
    # the first line of the log: that the model is there, and what a start costs
    print(f"model loaded in {time.perf_counter() - started:.3f} s", flush=True)
    _serve(handlers, workers, listener)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.model_server", description=main.__doc__)
    parser.add_argument(
        "--fd", type=int, help="listening socket to serve on instead of SAGEMAKER_BIND_TO_PORT"
    )
    parser.add_argument("--code-dir", help="where the program is (default: <model directory>/code)")
    parser.add_argument("--framework", default="", help="whose image this stands for, for example sklearn")
    parser.add_argument("--lifeline", action="store_true", help="end when standard input is closed")
    parser.add_argument("--network-isolation", action="store_true", help="let the model make no connections")
    return parser


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise SystemExit(
            f"port {port} is taken ({error.strerror}): set SAGEMAKER_BIND_TO_PORT to a free one"
        ) from None
    return listener


def _put_on_path(code_dir: str) -> None:
    """Let the program import its neighbours, also in processes that it starts, as the toolkit does."""
    sys.path.insert(0, code_dir)
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{code_dir}{os.pathsep}{inherited}" if inherited else code_dir


def _worker_count() -> int:
    """SAGEMAKER_MODEL_SERVER_WORKERS, else one: handlers need not be thread-safe."""
    text = os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS", "1")
    if not text.isdecimal() or int(text) < 1:
        raise SystemExit(f"SAGEMAKER_MODEL_SERVER_WORKERS is {text!r}: a whole number from 1 is needed")
    return int(text)


def _serve(handlers: Handlers, workers: ThreadPoolExecutor, listener: socket.socket) -> None:
    # after the model, so that a model that does not load fails as early as it can
    import uvicorn

    from sandbox.model_server.app import ModelApp

    config = uvicorn.Config(
        ModelApp(handlers, workers),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
    )
    uvicorn.Server(config).run(sockets=[listener])
