"""A worker that follows the script named in its spec's model, so that executors can be tested without a model."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from engine.results import Failure, WorkerEvent, WorkerOutcome
from engine.spec import ExperimentSpec
from tests.fakes import make_raw, make_result

spec = ExperimentSpec.model_validate_json(Path(sys.argv[1]).read_bytes())
result_path = Path(sys.argv[2])


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def emit(stage: str, progress: float | None = None) -> None:
    say(WorkerEvent(stage=stage, progress=progress).model_dump_json())


def leave(outcome: WorkerOutcome) -> None:
    np.savez(result_path.with_name("raw.npz"), **make_raw().arrays)
    result_path.write_text(outcome.model_dump_json())


def succeed() -> None:
    emit("load")
    say("a library says hello")
    emit("time", 0.5)
    leave(WorkerOutcome(result=make_result()))


def fail() -> None:
    complain("the evidence")
    leave(WorkerOutcome(error=Failure(stage="export", kind="ExportError", message="It could not be exported.")))
    sys.exit(1)


def crash() -> None:
    emit("export")
    complain("Segmentation fault")
    os.kill(os.getpid(), signal.SIGSEGV)


def kill_itself() -> None:
    emit("train")
    os.kill(os.getpid(), signal.SIGKILL)


def exit_without_a_word() -> None:
    sys.exit(3)


def leave_half_a_result() -> None:
    result_path.write_text('{"result": {"context"')


def leave_nothing_in_it() -> None:
    leave(WorkerOutcome())


def leave_damaged_arrays() -> None:
    leave(WorkerOutcome(result=make_result()))
    result_path.with_name("raw.npz").write_bytes(b"PK not really")


def hang() -> None:
    """Wait for the end of stdin, as a worker does whose engine lives."""
    emit("time")
    sys.stdin.read()
    emit("orphaned")


def ignore_the_signal() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL)
    Path("child.pid").write_text(str(child.pid))
    emit("time")
    time.sleep(600)


def leave_a_child_behind() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path("child.pid").write_text(str(child.pid))
    leave(WorkerOutcome(result=make_result()))


def show_its_place() -> None:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM", "PYTHONHASHSEED")
    for line in (*(f"{name}={os.environ.get(name)}" for name in names), f"cwd={Path.cwd()}", f"group={os.getpgrp()}"):
        complain(line)


globals()[spec.model]()
