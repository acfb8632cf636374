"""Engine and page together: addresses that are refused, runs that are followed, and no process left behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest

from engine import serving
from engine.entrance import Entrance
from engine.errors import InvalidValueError, RunError, StoreError
from engine.measure.environment import machine_id
from engine.results import RunRecord, Status
from engine.serving import check_address, follow
from engine.store.store import Store
from tests.conftest import believe_what_is_installed
from tests.fakes import FakeExecutor, make_result, make_spec

PATIENCE_S = 60


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SUBSECOND_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path / "cache"))
    machine_id.cache_clear()
    believe_what_is_installed(tmp_path / "cache")
    yield
    machine_id.cache_clear()


@contextmanager
def taken_port(family: socket.AddressFamily = socket.AF_INET, host: str = "127.0.0.1") -> Iterator[int]:
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        yield int(server.getsockname()[1])


def free_port() -> int:
    with taken_port() as port:
        return port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.8.8"])
def test_this_machine_s_own_addresses_are_fine(host: str) -> None:
    check_address(host, free_port())


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.com", "::", "10.0.0.1", ""])
def test_addresses_that_others_reach_are_refused(host: str) -> None:
    with pytest.raises(InvalidValueError, match=r"with tokens or logins only.*--tokens FILE.*--oidc FILE.*ssh -L"):
        check_address(host, free_port())


def test_an_address_that_others_reach_is_fine_with_tokens(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("runner ada 0123456789abcdef\n")
    file.chmod(0o644)
    with pytest.raises(InvalidValueError, match="chmod 600"):
        check_address("0.0.0.0", free_port(), Entrance(tokens=file))
    file.chmod(0o600)
    check_address("0.0.0.0", free_port(), Entrance(tokens=file))


def test_a_port_in_use_is_refused_with_another() -> None:
    with taken_port() as port, pytest.raises(InvalidValueError, match=f"Port {port} is in use.*--port {port + 1}"):
        check_address("127.0.0.1", port)


def test_ipv6_is_looked_at_too() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        with taken_port(socket.AF_INET6, "::1") as port, pytest.raises(InvalidValueError, match="in use"):
            check_address("::1", port)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")


@pytest.fixture
def real_store(database_path: Path) -> Iterator[Store]:
    """A store with the real clock, since services of other processes are told by it."""
    opened = Store(database_path)
    yield opened
    opened.close()


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> FakeExecutor:
    fake = FakeExecutor(ends_at_once=True)
    monkeypatch.setattr(serving, "LocalExecutor", lambda *_, **__: fake)
    monkeypatch.setattr(serving, "_LOOK_S", 0.001)
    return fake


def ignore(_: list[RunRecord]) -> None:
    """Show nothing."""


def test_runs_are_executed_here_if_nobody_else_does(real_store: Store, executor: FakeExecutor) -> None:
    ids = real_store.enqueue([make_spec(seed=seed) for seed in range(2)])
    (other,) = real_store.enqueue([make_spec(seed=9)])
    seen: list[list[Status]] = []
    records = follow(real_store, ids, lambda shown: seen.append([record.status for record in shown]))
    assert [record.id for record in records] == ids
    assert {record.status for record in records} == {Status.DONE}
    assert all(status is Status.QUEUED for status in seen[0])
    assert len(executor.handles) == 2
    assert real_store.run(other).status is Status.QUEUED, "a run that was not asked for was taken"
    assert real_store.services() == [], "the service did not sign off"
    (machine,) = real_store.machines()
    assert machine.machine == machine_id()


def test_runs_are_left_to_a_service_that_lives(
    real_store: Store, executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_id,) = real_store.enqueue([make_spec()])
    real_store.beat("other", "elsewhere", 1)

    def work_elsewhere(_: float) -> None:
        real_store.beat("other", "elsewhere", 1)
        if real_store.claim("other"):
            real_store.finish(run_id, "other", make_result(), None)

    monkeypatch.setattr(serving.time, "sleep", work_elsewhere)
    (record,) = follow(real_store, [run_id], ignore)
    assert record.status is Status.DONE
    assert executor.handles == []


def test_runs_go_on_in_a_service_of_their_own_while_engines_are_paused(
    real_store: Store, executor: FakeExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    real_store.pause()
    (run_id,) = real_store.enqueue([make_spec()])
    (record,) = follow(real_store, [run_id], ignore)
    assert record.status is Status.DONE
    assert len(executor.handles) == 1
    assert caplog.messages == []


def test_that_a_living_engine_is_paused_is_said_once(
    real_store: Store, executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real_store.acting("ada").pause()
    (run_id,) = real_store.enqueue([make_spec()])
    real_store.beat("other", "elsewhere", 1)
    looks: list[float] = []

    def give_up_later(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            real_store.request_cancel(run_id)

    monkeypatch.setattr(serving.time, "sleep", give_up_later)
    (record,) = follow(real_store, [run_id], ignore)
    assert record.status is Status.CANCELLED
    assert executor.handles == []
    assert caplog.messages == ["The engine was paused by ada, so these runs wait. Go on: subsecond resume"]


def test_a_service_that_dies_meanwhile_is_replaced(
    real_store: Store, executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_id,) = real_store.enqueue([make_spec()])
    real_store.beat("other", "elsewhere", 1)
    sleep, looks = time.sleep, []

    def die(seconds: float) -> None:
        if threading.current_thread() is threading.main_thread() and not looks:
            looks.append(seconds)
            real_store.retire("other")
        else:
            sleep(seconds)

    monkeypatch.setattr(serving.time, "sleep", die)
    (record,) = follow(real_store, [run_id], ignore)
    assert record.status is Status.DONE
    assert len(executor.handles) == 1


def test_an_interruption_cancels_what_has_not_ended(
    real_store: Store, executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = real_store.enqueue([make_spec(seed=seed) for seed in range(2)])
    real_store.beat("other", "elsewhere", 1)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        follow(real_store, ids, ignore)
    assert set(real_store.statuses(ids).values()) == {Status.CANCELLED}
    assert executor.handles == []


class TestEngine:
    def test_a_service_that_breaks_down_is_followed_by_another_which_takes_up_its_run(
        self, real_store: Store, executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (run_id,) = real_store.enqueue([make_spec()])
        engine = serving.Engine(lambda: serving.new_service(real_store))
        executor._ends_at_once = False
        follow_run, broken = serving.Service._follow, []

        def break_down_once(service: serving.Service, active: Any) -> None:
            if not broken:
                broken.append(active.run_id)
                raise RuntimeError("a defect")
            follow_run(service, active)

        monkeypatch.setattr(serving.Service, "_follow", break_down_once)
        executor_submit = executor.submit

        def submit(job: Any, bell: Any) -> Any:
            handle = executor_submit(job, bell)
            if len(executor.handles) == 2:
                handle.end()
            bell.ring()  # so that the loop looks at once
            return handle

        monkeypatch.setattr(executor, "submit", submit)
        assert engine.live() == "RuntimeError: a defect"
        assert broken == [run_id]
        record = real_store.run(run_id)
        assert (record.status, record.attempt) == (Status.QUEUED, 0)
        assert real_store.services() == [], "the broken service did not sign off"
        finish = Store.finish

        def finish_and_stop(*arguments: Any) -> bool:
            engine.stop()
            return finish(*arguments)

        monkeypatch.setattr(Store, "finish", finish_and_stop)
        assert engine.live() is None
        assert real_store.run(run_id).status is Status.DONE

    def test_one_that_cannot_start_at_first_is_not_tried_again(self) -> None:
        def refuse() -> serving.Service:
            raise StoreError("experiments.db can only be read here.")

        with pytest.raises(StoreError, match="only be read"):
            serving.Engine(refuse).live()

    def test_who_asks_for_the_end_before_it_lives_is_heard(self, real_store: Store, executor: FakeExecutor) -> None:
        real_store.enqueue([make_spec()])
        engine = serving.Engine(lambda: serving.new_service(real_store))
        engine.stop()
        assert engine.live() is None
        assert engine.wait(60)
        assert executor.handles == []


class TestPage:
    def test_a_process_that_dies_is_followed_by_another(self) -> None:
        started: list[subprocess.Popen[bytes]] = []
        again = threading.Event()

        def start() -> "subprocess.Popen[bytes]":
            command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
            started.append(subprocess.Popen(command, stdin=subprocess.PIPE))
            if len(started) == 2:
                again.set()
            return started[-1]

        page = serving.Page("http://127.0.0.1:1", start)
        restarts, waits = serving.Restarts(), []

        def go_on_at_once(seconds: float) -> bool:
            waits.append(seconds)
            return False

        supervisor = serving.Supervisor("page", time.monotonic, go_on_at_once, restarts)
        keeper = threading.Thread(target=supervisor.keep, args=(page.live,))
        started[0].kill()
        keeper.start()
        assert again.wait(PATIENCE_S)
        assert started[1].poll() is None
        page.stop()
        keeper.join(PATIENCE_S)
        assert not keeper.is_alive()
        assert started[0].returncode == -signal.SIGKILL
        assert started[1].returncode == 0
        assert (restarts["page"], waits) == (1, [1.0])

    def test_one_that_cannot_be_started_again_is_a_sentence(self) -> None:
        started: list[subprocess.Popen[bytes]] = []

        def start() -> "subprocess.Popen[bytes]":
            if started:
                raise OSError("no memory")
            started.append(subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE))
            return started[-1]

        page = serving.Page("http://127.0.0.1:1", start)
        assert page.live() == "its process left with code 0"
        assert page.live() == "it could not be started (no memory)"
        page.stop()
        assert page.live() is None
        assert page.wait(60)


def test_a_page_that_does_not_start_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    popen = subprocess.Popen

    def start_nothing(_: list[str], **rest: Any) -> "subprocess.Popen[bytes]":
        return popen([sys.executable, "-c", "raise SystemExit(1)"], **rest)

    monkeypatch.setattr(serving.subprocess, "Popen", start_nothing)
    with (
        pytest.raises(RunError, match="page did not start"),
        serving.dashboard("x.db", "127.0.0.1", free_port()),
    ):
        pytest.fail("it came up all the same")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[], tuple["subprocess.Popen[str]", str]]]:
    """Start ``subsecond serve`` and wait until its page answers; kill what a failed test leaves."""
    started: list[subprocess.Popen[str]] = []

    def start() -> tuple["subprocess.Popen[str]", str]:
        arguments = ["serve", "--db", str(tmp_path / "served.db"), "--port", str(free_port())]
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(serving.__file__).parents[1])},
            cwd=tmp_path,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Subsecond is at http://127.0.0.1:"), line
        return process, line.split()[3]

    yield start
    for process in started:
        for child in children_of(process):
            child.kill()
        process.kill()
        process.communicate()


def children_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def page_of(process: "subprocess.Popen[str]") -> psutil.Process:
    """Return the page's process; beside it, the engine may be trying a runtime in one of its own."""
    (page,) = [child for child in children_of(process) if "dashboard" in child.cmdline()]
    return page


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_engine_and_page_start_and_end_together(
    serve: Callable[[], tuple["subprocess.Popen[str]", str]], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process, address = serve()
    with urlopen(f"{address}/_stcore/health", timeout=PATIENCE_S) as answer:
        assert answer.read() == b"ok"
    children = children_of(process)
    assert children, "the page is no child of the engine"
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == code
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    assert alive == []
    if number != signal.SIGKILL:
        store = Store(tmp_path / "served.db")
        assert store.services() == []
        store.close()


def test_a_page_that_is_killed_comes_back_and_still_ends_with_the_engine(
    serve: Callable[[], tuple["subprocess.Popen[str]", str]],
) -> None:
    process, address = serve()
    first = page_of(process)
    first.kill()
    deadline = time.monotonic() + PATIENCE_S
    answered = None
    while answered is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), urlopen(f"{address}/_stcore/health", timeout=1) as answer:
            answered = answer.read()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1 if answered is None else 0)
    assert answered == b"ok"
    second = page_of(process)
    assert second.pid != first.pid
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0
    _, alive = psutil.wait_procs([second], timeout=PATIENCE_S)
    assert alive == []
