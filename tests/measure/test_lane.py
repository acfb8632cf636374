"""The quiet lane lets one time at a time, across threads and processes, and outlives no holder."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.measure.lane import quiet_lane

HOLDER = """
import sys
from pathlib import Path
from engine.measure.lane import quiet_lane
folder = Path(sys.argv[1])
with quiet_lane("cpu", folder=folder):
    print("held", flush=True)
    sys.stdin.read()
    (folder / "leaving").touch()
"""


def hold(folder: Path) -> "subprocess.Popen[str]":
    """Start a process that holds the lane until its input ends; return when it holds it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_waits_and_is_told_so(tmp_path: Path) -> None:
    waits, entered = [], threading.Event()
    with hold(tmp_path) as process:

        def end_holder() -> None:
            entered.wait(0.2)  # long enough to enter without leave
            process.communicate()

        ending = threading.Thread(target=end_holder)

        def waiting() -> None:
            waits.append("told")
            ending.start()

        with quiet_lane("cpu", waiting, tmp_path):
            left_before = (tmp_path / "leaving").exists()
            entered.set()
        ending.join()
    assert waits == ["told"]
    assert left_before, "it was entered while another process held it"


def test_the_lane_dies_with_its_holder(tmp_path: Path) -> None:
    with hold(tmp_path) as process:
        process.kill()
        process.wait()
        with quiet_lane("cpu", lambda: None, tmp_path):
            pass


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    inside, most, guard, ready = 0, 0, threading.Lock(), threading.Barrier(4)
    stay = threading.Event()

    def enter() -> None:
        nonlocal inside, most
        ready.wait()
        for _ in range(5):
            with quiet_lane("cpu", folder=tmp_path):
                with guard:
                    inside += 1
                    most = max(most, inside)
                stay.wait(0.005)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (inside, most) == (0, 1)


def test_devices_have_lanes_of_their_own(tmp_path: Path) -> None:
    with hold(tmp_path) as process:
        waits: list[str] = []
        with quiet_lane("cuda/0", lambda: waits.append("waits"), tmp_path):
            assert waits == []
        process.communicate()


def test_a_lane_is_free_after_a_failure(tmp_path: Path) -> None:
    waits: list[str] = []
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), quiet_lane("cpu", lambda: waits.append("waits"), tmp_path):
            _ = 1 // 0
    assert waits == []
