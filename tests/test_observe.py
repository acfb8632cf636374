"""What an operator is told: health, numbers, and logs that machines can read."""

import json
import logging
import socket
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from engine import observe
from engine.errors import InvalidValueError, StoreError
from engine.observe import JsonLines, StatusServer
from engine.store.store import Store
from engine.supervision import Restarts
from tests.contracts.test_store_notes import add
from tests.fakes import MACHINE, make_spec


@pytest.fixture
def server(store: Store) -> Iterator[StatusServer]:
    server = StatusServer(store, 0)
    yield server
    server.close()


def get(server: StatusServer, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_health_is_that_of_the_engine(store: Store, server: StatusServer) -> None:
    status, body = get(server, "/healthz")
    assert (status, json.loads(body)["status"]) == (503, "no engine is alive")
    store.beat("a", MACHINE, 1)
    assert get(server, "/healthz") == (200, '{"status": "ok", "engines": 1}')


def test_a_database_that_is_gone_is_said(store: Store, server: StatusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise StoreError("experiments.db is gone.")

    monkeypatch.setattr(store, "services", refuse)
    status, body = get(server, "/healthz")
    assert status == 503
    assert "is gone" in body
    assert get(server, "/metrics")[0] == 503


def test_numbers_are_those_of_the_queue(store: Store, server: StatusServer) -> None:
    add(store, 0)
    store.enqueue([make_spec(seed) for seed in (1, 2)])
    status, body = get(server, "/metrics")
    assert status == 200
    assert 'subsecond_runs{status="queued"} 2.0' in body
    assert 'subsecond_runs{status="done"} 1.0' in body
    assert 'subsecond_runs{status="failed"} 0.0' in body
    assert "subsecond_engines_alive 0.0" in body
    assert "process_resident_memory_bytes" in body


def test_starts_after_the_first_are_counted_by_part(store: Store) -> None:
    restarts = Restarts(page=0, engine=2)
    server = StatusServer(store, 0, restarts)
    assert 'subsecond_restarts_total{part="page"} 0.0' in get(server, "/metrics")[1]
    restarts["page"] += 1
    body = get(server, "/metrics")[1]
    server.close()
    assert 'subsecond_restarts_total{part="page"} 1.0' in body
    assert 'subsecond_restarts_total{part="engine"} 2.0' in body


def test_nothing_else_is_told_and_nobody_else_is_answered(server: StatusServer) -> None:
    assert get(server, "/")[0] == 404
    assert get(server, "/../engine")[0] == 404
    assert server._server.server_address[0] == "127.0.0.1"


def test_a_taken_port_is_refused_with_a_sentence(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InvalidValueError, match="--status-port"):
            StatusServer(store, taken.getsockname()[1])


def test_a_log_line_is_a_document() -> None:
    record = logging.LogRecord("engine.service", logging.WARNING, "", 1, "run %d\nended", (7,), None)
    record.exc_info = (ValueError, ValueError("broken"), None)
    line = JsonLines().format(record)
    assert "\n" not in line
    document = json.loads(line)
    assert (document["level"], document["logger"], document["message"]) == ("warning", "engine.service", "run 7\nended")
    assert "ValueError: broken" in document["exception"]


def test_logs_are_json_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: asked.append(settings))
    monkeypatch.delenv(observe.LOG_VARIABLE, raising=False)
    observe.begin_logging()
    monkeypatch.setenv(observe.LOG_VARIABLE, "json")
    observe.begin_logging()
    assert asked[0]["level"] == logging.WARNING
    (handler,) = asked[1]["handlers"]
    assert isinstance(handler.formatter, JsonLines)
