"""Engine and page together: one process group, one Ctrl-C, no orphan."""

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
from functools import partial
from urllib.error import URLError
from urllib.request import urlopen

from engine.access import is_loopback
from engine.asking import WorkerConversation
from engine.capabilities import this_machine
from engine.entrance import Entrance
from engine.errors import InvalidValueError, RunError, SubsecondError
from engine.executors.base import Bell
from engine.executors.limits import Limits
from engine.executors.local import LocalExecutor
from engine.measure.environment import machine_id
from engine.results import RunRecord
from engine.service import Service
from engine.store.store import Store
from engine.supervision import Restarts, Supervisor, survive
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


def check_address(host: str, port: int, entrance: Entrance | None = None) -> None:
    """Refuse an address that others could reach without being asked who they are, and a port that is taken.

    Raises:
        RequestError: with what to do.
    """
    if entrance is not None:
        entrance.check()
    if not (entrance and entrance.is_guarded) and not is_loopback(host):
        raise InvalidValueError(
            f"Others could reach the page on {host}, so it is served there with tokens or logins only: subsecond serve "
            f"--host {host} --tokens FILE, with a line ROLE NAME TOKEN for each person, or --oidc FILE. "
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


class Page:
    """The running dashboard: a process, and another one after it has died.

    Args:
        address: where people find it.
        start: starts the process; it ends when its standard input closes.
    """

    def __init__(self, address: str, start: Callable[[], "subprocess.Popen[bytes]"]) -> None:
        self.address = address
        self._start = start
        self._bell = Bell()
        self._lock = threading.Lock()
        self._is_stopping = False
        self._process = start()
        self._is_fresh = True

    @property
    def is_alive(self) -> bool:
        """Tell whether its process has not ended."""
        return self._process.poll() is None

    def live(self) -> str | None:
        """Wait for the end of the process, starting another one if the last has ended; return what happened to it."""
        with self._lock:
            if self._is_stopping:
                return None
            if not self._is_fresh:
                try:
                    self._process = self._start()
                except OSError as error:
                    return f"it could not be started ({error})"
            self._is_fresh = False
        process = self._process
        code = process.wait()
        if process.stdin:
            process.stdin.close()
        return None if self._is_stopping else f"its process left with code {code}"

    def wait(self, seconds: float) -> bool:
        """Sleep; tell whether it is to stop."""
        self._bell.wait(seconds)
        return self._is_stopping

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            self._is_stopping = True
        self._bell.ring()
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def dashboard(
    database: str, host: str, port: int, entrance: Entrance | None = None, restarts: Restarts | None = None
) -> Iterator[Page]:
    """Serve the page while the context lasts, also after it has died; it ends with its parent, however that ends.

    Args:
        database: file or URL.
        host: address to serve it on.
        port: its port.
        entrance: who may open it; ``None`` lets everybody who reaches it.
        restarts: where it is counted how often it was started again.

    Raises:
        RunError: if it does not answer within half a minute.
    """
    options = {"server.address": host, "server.port": port, "server.headless": "true", "browser.serverAddress": host}
    options["logger.level"] = "warning"
    entrance = entrance or Entrance()
    options |= entrance.options()
    page = Page(
        f"http://{f'[{host}]' if ':' in host else host}:{port}",
        lambda: subprocess.Popen(
            [sys.executable, "-m", "dashboard", *(f"--{name}={value}" for name, value in options.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "SUBSECOND_DB": database, **entrance.environment()},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends both in order
        ),
    )
    supervisor = Supervisor("page", time.monotonic, page.wait, Restarts() if restarts is None else restarts)
    keeper = threading.Thread(target=supervisor.keep, args=(page.live,), name="page", daemon=True)
    try:
        _await(page)
        keeper.start()
        yield page
    finally:
        page.stop()
        if keeper.is_alive():
            keeper.join()


class Engine:
    """The service of this process, and another one after it has broken down.

    Args:
        make: makes a service.
    """

    def __init__(self, make: Callable[[], Service]) -> None:
        self._make = make
        self._bell = Bell()
        self._service: Service | None = None
        self._is_stopping = self._has_started = False

    def live(self) -> str | None:
        """Run a service until it is told to stop; return what broke it otherwise.

        Raises:
            SubsecondError: if the first one cannot even start; whoever started it has to mend that.
        """
        return survive(self._run, lambda error: isinstance(error, SubsecondError) and not self._has_started)

    def wait(self, seconds: float) -> bool:
        """Sleep; tell whether it is to stop."""
        self._bell.wait(seconds)
        return self._is_stopping

    def stop(self) -> None:
        """Ask for the end; may be called from a signal handler."""
        self._is_stopping = True
        self._bell.ring()
        if self._service is not None:
            self._service.stop()

    def _run(self) -> None:
        self._service = self._make()
        try:
            if not self._is_stopping:  # somebody may have asked before there was anybody to tell
                self._service.run()
        finally:
            self._has_started |= self._service.has_started


def serve_until_stopped(store: Store, ready: Callable[[], None], restarts: Restarts | None = None) -> None:
    """Run the service until SIGINT or SIGTERM; call ``ready`` once these end it in order.

    A service that breaks down is followed by another one; its runs go back to the queue.
    """
    engine = Engine(lambda: new_service(store))
    supervisor = Supervisor("engine", time.monotonic, engine.wait, Restarts() if restarts is None else restarts)
    previous = {number: signal.signal(number, lambda *_: engine.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ready()
        supervisor.keep(engine.live)
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


def _await(page: Page) -> None:
    """Wait until the page answers."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and page.is_alive:
        try:
            with urlopen(f"{page.address}/_stcore/health", timeout=1):  # nosec B310 # noqa: S310 - the page's own
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RunError("The page did not start. Look at the messages above, or start it alone: python -m dashboard.")
