"""A worker of the campaign: stages in the real cache, a child of its own, and a result that follows from its spec."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from engine.measure.jobs import save_arrays
from engine.results import StageRecord, WorkerEvent, WorkerOutcome
from engine.spec import ExperimentSpec
from engine.stages import StageCache
from tests.fakes import make_result

STAGES = ("fetch", "train", "export", "time", "score")
SHARED = 7
"""Stages of runs whose seeds are equal modulo this are the same, so that workers meet in the cache."""
PAUSE_S = 0.05
"""What a stage takes beside its writing."""
BLOCK = b"0123456789abcdef" * 4096


def content(key: str) -> bytes:
    """Return what the file of a stage holds."""
    return hashlib.sha256(key.encode()).hexdigest().encode() + BLOCK


def build(folder: Path, key: str) -> None:
    """Write a stage in two steps, so that a kill can come between them."""
    (folder / "weights").write_bytes(content(key)[:1000])
    time.sleep(0.01)
    (folder / "weights").write_bytes(content(key))


def expected(seed: int) -> np.ndarray:
    """Return the array that a run of this seed leaves."""
    return np.random.default_rng(seed).integers(0, 9, 50).astype(np.int16)


def emit(event: WorkerEvent) -> None:
    sys.stdout.write(event.model_dump_json() + "\n")
    sys.stdout.flush()


def end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main(spec_file: str, result_file: str) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    spec = ExperimentSpec.model_validate_json(Path(spec_file).read_bytes())
    result = Path(result_file)
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL)
    cache = StageCache()
    for name in STAGES:
        emit(WorkerEvent(stage=name))
        key = f"{name}-{spec.seed % SHARED:024d}"
        stage = cache.get(key, lambda folder, key=key: build(folder, key))
        if (stage.folder / "weights").read_bytes() != content(key):
            sys.exit(f"half a stage was used: {key}")
        time.sleep(PAUSE_S)
        emit(WorkerEvent(stage=name, finished=StageRecord(name=name, seconds=PAUSE_S, cached=stage.cached, detail="")))
    save_arrays(result.with_name("raw.npz"), {"predictions": expected(spec.seed)})
    temporary = result.with_name(".result")
    temporary.write_text(WorkerOutcome(result=make_result()).model_dump_json())
    temporary.replace(result)
    child.kill()


if __name__ == "__main__":
    main(*sys.argv[1:3])
