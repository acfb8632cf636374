"""What an operator asks of an engine: is it well, how much is there to do, and what did it say."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.errors import InvalidValueError, StoreError
from engine.results import Status
from engine.store.store import Store
from engine.supervision import Restarts

LOG_VARIABLE = "SUBSECOND_LOG"
HOST = "127.0.0.1"
ALIVE_WITHIN_S = 30.0
_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class JsonLines(logging.Formatter):
    """Log records as JSON, one a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, origin and message, with the traceback if there is one."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False)


def begin_logging() -> None:
    """Log warnings as sentences, or everything from information up as JSON where ``SUBSECOND_LOG=json``."""
    if os.environ.get(LOG_VARIABLE) == "json":
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines())
        logging.basicConfig(level=logging.INFO, handlers=[handler])
    else:
        logging.basicConfig(level=logging.WARNING, format="%(message)s")


class _Runs(Collector):
    """The queue, the services and what had to be started again, read when somebody asks."""

    def __init__(self, store: Store, restarts: Restarts) -> None:
        self._store, self._restarts = store, restarts

    def collect(self) -> Iterator[Metric]:
        """Yield runs by status, the engines that are alive, and how often each part was started again."""
        counted = self._store.counts()
        runs = GaugeMetricFamily("subsecond_runs", "Runs by status", labels=["status"])
        for status in Status:
            runs.add_metric([status.value], counted.get(status, 0))
        yield runs
        alive = len(self._store.services(alive_within_s=ALIVE_WITHIN_S))
        yield GaugeMetricFamily("subsecond_engines_alive", "Engines that gave a sign of life just now", alive)
        restarts = CounterMetricFamily(
            "subsecond_restarts", "How often a part of this program had to be started again", labels=["part"]
        )
        for part, count in sorted(self._restarts.items()):
            restarts.add_metric([part], count)
        yield restarts


class StatusServer:
    """Answers ``/healthz`` and ``/metrics`` on this machine only, from a thread that sleeps in the kernel.

    Args:
        store: what is told of.
        port: 0 for any that is free.
        restarts: how often each part of this program was started again.

    Raises:
        InvalidValueError: if the port is taken.
    """

    def __init__(self, store: Store, port: int, restarts: Restarts | None = None) -> None:
        registry = CollectorRegistry()
        registry.register(_Runs(store, Restarts() if restarts is None else restarts))
        ProcessCollector(registry=registry)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages = {"/healthz": _health, "/metrics": _metrics}
                page = pages.get(self.path.partition("?")[0])
                status, body, kind = page(store, registry) if page else (HTTPStatus.NOT_FOUND, b"", _TYPE)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: whoever asks does so every few seconds."""

        try:
            self._server = ThreadingHTTPServer((HOST, port), Handler)
        except OSError:
            raise InvalidValueError(f"Port {port} is in use. Choose another one for --status-port.") from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="status", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def status_served(store: Store, port: int, restarts: Restarts) -> Iterator[None]:
    """Answer while the context lasts; port 0 answers nobody.

    Raises:
        InvalidValueError: if the port is taken.
    """
    server = StatusServer(store, port, restarts) if port else None
    try:
        yield
    finally:
        if server:
            server.close()


def _health(store: Store, registry: CollectorRegistry) -> tuple[HTTPStatus, bytes, str]:
    """Say ok if an engine gave a sign of life and the database answers."""
    del registry
    try:
        alive = store.services(alive_within_s=ALIVE_WITHIN_S)
        document = {"status": "ok" if alive else "no engine is alive", "engines": len(alive)}
    except StoreError as error:
        alive, document = [], {"status": str(error)}
    status = HTTPStatus.OK if alive else HTTPStatus.SERVICE_UNAVAILABLE
    return status, json.dumps(document).encode(), "application/json"


def _metrics(store: Store, registry: CollectorRegistry) -> tuple[HTTPStatus, bytes, str]:
    """Return all numbers in Prometheus' text format."""
    del store
    try:
        return HTTPStatus.OK, generate_latest(registry), _TYPE
    except StoreError as error:
        return HTTPStatus.SERVICE_UNAVAILABLE, str(error).encode(), "text/plain; charset=utf-8"
