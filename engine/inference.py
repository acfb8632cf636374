"""``python -m engine.inference JOB.json``: the fresh process that loads one artifact and times it or scores with it.

It imports nothing but what its backend needs, so that its memory and its cold start are those of inference. When it has
written its answer it says so on standard output and waits, so that its parent can read its peak memory from outside; it
ends when its standard input closes, whether its parent closed it or died.
"""

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.backends import BACKENDS
from engine.backends.base import Inputs, Session
from engine.datasets.files import take
from engine.measure.jobs import InferenceJob, read_samples, save_arrays
from engine.measure.timing import Query, measure
from engine.models.base import Artifact
from engine.models.preprocess import Preprocessor, load_preprocessor
from engine.quiet import quiet_libraries

DONE = "done"


def main(job_file: str) -> None:
    """Do the job and wait to be dismissed."""
    watcher = threading.Thread(target=_wait_for_dismissal, daemon=True)
    watcher.start()
    quiet_libraries()
    job = InferenceJob.model_validate_json(Path(job_file).read_text("utf-8"))
    if job.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
    arrays = run(job)
    save_arrays(job.output, arrays)
    sys.stdout.write(f"{DONE}\n")
    sys.stdout.flush()
    watcher.join()


def run(job: InferenceJob) -> dict[str, NDArray[np.generic]]:
    """Load the artifact and return the arrays of the answer."""
    backend, artifact = BACKENDS.get(job.backend.name), Artifact.read(job.artifact)
    options = backend.options_type.model_validate(job.backend.params)
    preprocess = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    samples = read_samples(job.samples)
    started = time.perf_counter()
    session = backend.load(artifact, options)
    loaded = time.perf_counter()
    batches = [
        take(samples, np.arange(start, min(start + job.batch_size, len(samples))))
        for start in range(0, len(samples), job.batch_size)
    ]
    if job.mode == "score":
        return {"logits": np.concatenate([_answer(session, preprocess(batch)) for batch in batches])}
    _answer(session, preprocess(batches[0]))
    called = time.perf_counter()
    arrays = _time(session, preprocess, batches, job)
    arrays["load_s"], arrays["first_call_s"] = np.asarray(loaded - started), np.asarray(called - loaded)
    return arrays


def _time(
    session: Session, preprocess: Preprocessor, batches: list[list[str] | NDArray[np.uint8]], job: InferenceJob
) -> dict[str, NDArray[np.generic]]:
    """Time the batches as single queries."""

    def query(batch: list[str] | NDArray[np.uint8]) -> Query[Inputs]:
        return Query(lambda: preprocess(batch), lambda inputs: _answer(session, inputs))

    cpu_before = time.process_time()
    samples = measure([query(batch) for batch in batches], job.plan)
    cpu_s = time.process_time() - cpu_before
    return {
        "warmup_ns": np.asarray(samples.warmup_ns, dtype=np.int64),
        "run_ns": np.asarray(samples.run_ns, dtype=np.int64),
        "whole_ns": np.asarray(samples.whole_ns, dtype=np.int64),
        "cpu_s_per_query": np.asarray(cpu_s / (len(samples.run_ns) + len(samples.warmup_ns))),
    }


def _answer(session: Session, inputs: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    """Run one batch to its end."""
    logits = session.run(inputs)
    session.synchronize()
    return logits


def _wait_for_dismissal() -> None:
    """End the process when standard input closes."""
    while os.read(sys.stdin.fileno(), 1):  # the file's own buffer would be locked when the interpreter ends
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
