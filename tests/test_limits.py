"""Bounds of a run: time, memory and log, and what a run hears that meets one."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import ContradictionError, InvalidValueError
from engine.executors.limits import HOURS_VARIABLE, MEMORY_VARIABLE, BoundedLog, Limits
from engine.executors.local import LocalExecutor
from engine.store import queue
from engine.store.store import Store
from tests.contracts.test_executors import COMMAND, Started
from tests.fakes import make_spec


class Kept(io.BytesIO):
    """A file whose content outlives its closing."""

    content = b""

    def close(self) -> None:
        self.content = self.getvalue()
        super().close()


def test_a_run_that_takes_too_long_is_stopped_and_not_tried_again(tmp_path: Path) -> None:
    limits = Limits(wall_s=0.2)
    worker = Started(LocalExecutor(tmp_path / "runs", command=COMMAND, grace_s=1.0, limits=limits), "hang")
    ending = worker.wait()
    assert ending.failure is not None
    assert (ending.failure.kind, ending.died) == ("TimeLimit", False)
    assert "SUBSECOND_RUN_HOURS=" in ending.failure.message


def test_a_log_keeps_its_beginning_and_its_end() -> None:
    file = Kept()
    log = BoundedLog(file, 10)
    log.write(b"beginning")
    for _ in range(50):
        log.write(b"x" * 20_000)
    log.write(b"the end")
    log.close()
    log.write(b"of a child that outlived its parents")
    assert file.content.startswith(b"beginningx\n--- ")
    assert file.content.endswith(b"xthe end")
    assert b"bytes were left out here ---" in file.content
    assert len(file.content) < 300_000


def test_a_short_log_is_kept_as_it_is() -> None:
    file = Kept()
    log = BoundedLog(file, 100)
    log.write(b"one\n")
    log.write(b"two\n")
    log.close()
    assert file.content == b"one\ntwo\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bounds another process's memory, as Linux can")
def test_a_process_that_takes_too_much_memory_gets_an_error_instead_of_taking_the_machine_down() -> None:
    program = "input(); bytearray(10**9)"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    Limits(memory_bytes=300_000_000).hold(process.pid)
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "500"
    _, complaint = process.communicate("go\n")
    assert process.returncode == 1
    assert "MemoryError" in complaint


def test_bounds_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (HOURS_VARIABLE, MEMORY_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    assert Limits.of_environment() == Limits()
    monkeypatch.setenv(HOURS_VARIABLE, "0.5")
    monkeypatch.setenv(MEMORY_VARIABLE, "4")
    assert Limits.of_environment() == Limits(wall_s=1800, memory_bytes=4_000_000_000)
    for wrong in ("-1", "0", "much", "inf", "nan"):
        monkeypatch.setenv(MEMORY_VARIABLE, wrong)
        with pytest.raises(InvalidValueError, match="SUBSECOND_RUN_MEMORY_GB"):
            Limits.of_environment()


def test_a_queue_that_would_never_end_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MOST_QUEUED", 3)
    store.enqueue([make_spec(seed) for seed in range(2)])
    with pytest.raises(ContradictionError, match="2 runs wait already and 2 more would be over 3"):
        store.enqueue([make_spec(seed) for seed in range(2)])
    store.enqueue([make_spec(9)])
