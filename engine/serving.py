"""Engine and page together: one process group, one Ctrl-C, no orphan."""

import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from engine.access import TOKENS_VARIABLE, Tokens
from engine.asking import WorkerConversation
from engine.capabilities import this_machine
from engine.errors import InvalidValueError, RunError
from engine.executors.limits import Limits
from engine.executors.local import LocalExecutor
from engine.measure.environment import machine_id
from engine.results import RunRecord
from engine.service import Service
from engine.store.store import Store
from engine.tidying import Quota, tidy

_log = logging.getLogger(__name__)

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0
_ALIVE_WITHIN_S = 15.0
_LOOK_S = 0.5


def new_service(store: Store, only: Sequence[int] | None = None) -> Service:
    """Return a service for this machine, with local workers, one run at a time."""
    return Service(
        store,
        LocalExecutor(store.runs_folder, limits=Limits.of_environment()),
        machine_id=machine_id(),
        description=this_machine(),
        only=only,
        converse=WorkerConversation if only is None else None,  # a sweep of its own answers nobody
        tidy=partial(tidy, store, Quota.of_environment()),
    )


def check_address(host: str, port: int, tokens: Path | None = None) -> None:
    """Refuse an address that others could reach without a token, and a port that is taken.

    Raises:
        InvalidValueError: with what to do.
    """
    if tokens is not None:
        Tokens.read(tokens)
    elif not _is_loopback(host):
        raise InvalidValueError(
            f"Others could reach the page on {host}, so it is served there with tokens only: subsecond serve --host "
            f"{host} --tokens FILE, with a line ROLE NAME TOKEN for each person. "
            "Or leave --host out and use an SSH tunnel: ssh -L 8501:localhost:8501 THIS_MACHINE."
        )
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise InvalidValueError(
                f"Port {port} is in use, perhaps by another Subsecond. Choose one: --port {port + 1}."
            ) from None


@dataclass(frozen=True)
class Page:
    """The running dashboard."""

    address: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def dashboard(database: str, host: str, port: int, tokens: Path | None = None) -> Iterator[Page]:
    """Serve the page while the context lasts; it ends with its parent, however that ends.

    Args:
        database: file or URL.
        host: address to serve it on.
        port: its port.
        tokens: the file of those who may open it; ``None`` lets everybody who reaches it.

    Raises:
        RunError: if it does not answer within half a minute.
    """
    options = {"server.address": host, "server.port": port, "server.headless": "true", "browser.serverAddress": host}
    options["logger.level"] = "warning"
    process = subprocess.Popen(
        [sys.executable, "-m", "dashboard", *(f"--{name}={value}" for name, value in options.items())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "SUBSECOND_DB": database, TOKENS_VARIABLE: str(tokens.resolve()) if tokens else ""},
        start_new_session=True,  # Ctrl-C reaches the parent alone, which ends both in order
    )
    try:
        yield Page(_await(process, host, port), process)
    finally:
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve_until_stopped(store: Store, ready: Callable[[], None]) -> None:
    """Run the service until SIGINT or SIGTERM; call ``ready`` once these end it in order."""
    service = new_service(store)
    previous = {number: signal.signal(number, lambda *_: service.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ready()
        service.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def follow(store: Store, ids: Sequence[int], show: Callable[[list[RunRecord]], None]) -> list[RunRecord]:
    """Wait until all runs have ended, showing them now and then; execute them here if no service is alive.

    A service that dies meanwhile is replaced by one of our own. A living one that is asked to pause is respected, and
    that is said once; our own executes what it was started for. Interrupting cancels what has not ended.
    """
    is_told = False
    own: Service | None = None
    thread: threading.Thread | None = None
    try:
        while True:
            records = store.runs(ids=ids)
            show(records)
            if all(record.status.is_final for record in records):
                return sorted(records, key=lambda record: record.id)
            if thread is None and not store.services(alive_within_s=_ALIVE_WITHIN_S):
                own = new_service(store, only=ids)
                thread = threading.Thread(target=own.run, kwargs={"until_final": ids})
                thread.start()
            if thread is None and not is_told and (control := store.control()).paused:
                is_told = True
                _log.warning("The engine was paused by %s, so these runs wait. Go on: subsecond resume", control.who)
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        for record in store.runs(ids=ids):
            if not record.status.is_final:
                store.request_cancel(record.id)
        raise
    finally:
        if own and thread:
            own.stop()
            thread.join()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _await(process: "subprocess.Popen[bytes]", host: str, port: int) -> str:
    """Wait until the page answers; return its address."""
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"{address}/_stcore/health", timeout=1):  # noqa: S310 - a loopback address made above
                return address
        except (URLError, OSError):
            time.sleep(0.1)
    raise RunError("The page did not start. Look at the messages above, or start it alone: python -m dashboard.")
