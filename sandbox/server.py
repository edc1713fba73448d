"""The sandbox's process: ministack's gateway on the main thread, the engine on a second one.

Started by `sandbox.supervisor`; not meant to be called by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.home import ACCOUNT, PROJECT, REGION, SECRET, Home
from sandbox.supervisor import PORT_TAKEN

if TYPE_CHECKING:
    from sandbox.alarms import AlarmEvaluator
    from sandbox.clock import Clock
    from sandbox.engine import Engine
    from sandbox.events import Event

log = logging.getLogger(__name__)

ENGINE_STOP_LIMIT = 15.0


@dataclass(frozen=True)
class Settings:
    """What the process is started with.

    Args:
        home: The sandbox's folder.
        gateway_port: Port of the gateway.
        runtime_port: Port of the invocation listener.
        time_scale: AWS seconds in a real second.
        max_model_servers: Model-server processes at most.
        ready_fd: Where to write ``ready``; closed without when it comes to nothing.
    """

    home: Path
    gateway_port: int
    runtime_port: int
    time_scale: float
    max_model_servers: int
    ready_fd: int

    @classmethod
    def parse(cls, arguments: list[str]) -> Settings:
        """Settings from a command line."""
        parser = argparse.ArgumentParser(prog="python -m sandbox.server")
        parser.add_argument("--home", type=Path, required=True)
        parser.add_argument("--gateway-port", type=int, required=True)
        parser.add_argument("--runtime-port", type=int, required=True)
        parser.add_argument("--time-scale", type=float, required=True)
        parser.add_argument("--max-model-servers", type=int, required=True)
        parser.add_argument("--ready-fd", type=int, required=True)
        return cls(**vars(parser.parse_args(arguments)))


def main(arguments: list[str]) -> int:
    """Run until SIGTERM or SIGINT; the exit status."""
    settings = Settings.parse(arguments)
    # before anything that reads them is imported
    os.environ.update(_environment(settings))
    os.environ.pop("PYTHONPATH", None)  # how we were found; Lambda functions must not find this project
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for talkative in ("botocore", "hypercorn.access", "aiohttp.access"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    try:
        listener = _listen(settings.gateway_port)
        return _run(settings, listener)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        log.error("a port is taken: %s", error)
        return PORT_TAKEN


def _environment(settings: Settings) -> dict[str, str]:
    """What ministack and the Lambda functions in it are told."""
    home = Home(settings.home)
    gateway, runtime = (f"http://127.0.0.1:{port}" for port in (settings.gateway_port, settings.runtime_port))
    return {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(settings.gateway_port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        # a socket that is not there: no docker daemon is looked for
        "DOCKER_HOST": f"unix://{settings.home / 'no-docker.sock'}",
        "S3_DATA_DIR": str(home.tmp_dir / "s3"),
        # Step Functions: Wait states and the pauses of Retry
        "SFN_WAIT_SCALE": str(1 / settings.time_scale),
        "TMPDIR": str(home.tmp_dir),
        # Lambda functions inherit these
        "NODE_PATH": str(PROJECT / "node_modules"),
        "AWS_ENDPOINT_URL": gateway,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": runtime,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
    }


def _listen(port: int) -> socket.socket:
    """A listening socket on loopback; connections queue until the gateway accepts them."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    return listener


def _run(settings: Settings, listener: socket.socket) -> int:
    from sandbox.clock import Clock
    from sandbox.engine import Engine, EngineSettings

    clock = Clock(settings.time_scale)
    engine = Engine(
        EngineSettings(
            gateway_port=settings.gateway_port,
            runtime_port=settings.runtime_port,
            work_dir=Home(settings.home).work_dir,
            queue_dir=Home(settings.home).queue_dir,
            clock=clock,
            max_model_servers=settings.max_model_servers,
        )
    )
    engine.start()
    try:
        asyncio.run(_serve(settings, listener, engine, clock))
    finally:
        _stop(engine)
    return 0


async def _serve(settings: Settings, listener: socket.socket, engine: Engine, clock: Clock) -> None:
    """Run the gateway until a signal comes; the engine stops while the gateway still answers it."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from sandbox.alarms import AlarmEvaluator
    from sandbox.gateway import Gateway
    from sandbox.ministack_adapter import Ministack

    gateway_url = f"http://127.0.0.1:{settings.gateway_port}"
    ministack = Ministack(engine, engine.functions, gateway_url, {ACCOUNT: SECRET}, clock)
    alarms = AlarmEvaluator(ministack.alarms, clock, engine.scale_on_alarm)
    tasks: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()

    async def send_event(event: Event) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ministack.put_event(event), loop))

    engine.events.connect(send_event)

    async def on_ready() -> None:
        tasks.add(asyncio.create_task(_evaluate_alarms(alarms, clock), name="alarms"))
        ministack.load_cloudformation()
        os.write(settings.ready_fd, b"ready\n")
        os.close(settings.ready_fd)

    async def on_stop() -> None:
        for task in tasks:
            task.cancel()

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    async def stopped() -> None:
        await stopping.wait()
        log.info("stopping")
        await asyncio.to_thread(_stop, engine)

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    runtime_url = f"http://127.0.0.1:{settings.runtime_port}"
    gateway = Gateway(ministack.asgi, runtime_url, on_ready=on_ready, on_stop=on_stop)
    await serve(gateway, config, shutdown_trigger=stopped)  # type: ignore[arg-type]


async def _evaluate_alarms(alarms: AlarmEvaluator, clock: Clock) -> None:
    while True:
        try:
            alarms.evaluate(time.time())
        except Exception:
            log.exception("alarms could not be evaluated")
        await asyncio.sleep(clock.evaluation_interval)


def _stop(engine: Engine) -> None:
    """Stop the engine and its model servers; give up after a while, the supervisor ends what is left."""
    thread = threading.Thread(target=_stop_engine, args=(engine,), daemon=True)
    thread.start()
    thread.join(ENGINE_STOP_LIMIT)


def _stop_engine(engine: Engine) -> None:
    try:
        engine.stop()
    except Exception:
        log.exception("the engine did not stop in order")


def _end_children() -> None:
    """End what is left, such as warm Lambda functions."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()


if __name__ == "__main__":
    try:
        exit_status = main(sys.argv[1:])
    except Exception:
        log.exception("the sandbox failed")
        exit_status = 1
    _end_children()
    logging.shutdown()
    # threads of ministack that wait for something must not keep the process
    os._exit(exit_status)
