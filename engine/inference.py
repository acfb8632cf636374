"""``python -m engine.inference JOB.json``: the fresh process that loads one artifact and times it or scores with it.

It imports nothing but what its backend needs, so that its memory and its cold start are those of inference. When it has
written its answer it says so on standard output and waits, so that its parent can read its peak memory from outside; it
ends when its standard input closes, whether its parent closed it or died.
"""

import ctypes
import os
import signal
import sys
import tempfile
import threading
import time
import timeit
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import generation
from engine.answering import answering
from engine.backends import BACKENDS
from engine.backends.base import Backend, Inputs, OperatorTime, Session
from engine.datasets.files import take
from engine.errors import SubsecondError
from engine.measure.disturbance import Watch, pin_threads
from engine.measure.energy import Meter, counters
from engine.measure.jobs import InferenceJob, Samples, read_samples, save_arrays
from engine.measure.processes import DONE, FAILED, READY
from engine.measure.stream import Answer, stream
from engine.measure.timing import Plan, Query, measure
from engine.measure.turns import ByPipe, Partner, Turns
from engine.models import FAMILIES
from engine.models.base import Artifact
from engine.models.preprocess import Preprocessor, load_preprocessor
from engine.quiet import quiet_libraries
from engine.scenarios import SCENARIOS
from engine.scenarios.base import Bench
from engine.spec import Task

PR_SET_PDEATHSIG = 1
PROFILED_QUERIES = 30
COMPARED_QUERIES = 8
WAKING_QUERIES = 5
"""After so many it shows which threads do the work."""
OUT_OF_MEMORY = ("out of memory", "failed to allocate", "bad_alloc", "bad alloc")
"""How PyTorch, ONNX Runtime, OpenVINO and C++ say it; their exceptions share no class."""

Batch = list[str] | NDArray[np.uint8]
Arrays = dict[str, NDArray[np.generic]]


def main(job_file: str) -> None:
    """Do the job and wait to be dismissed."""
    _die_with_parent()
    partner = ByPipe(_say)
    threading.Thread(target=_listen, args=[partner], daemon=True).start()
    _say(READY)
    partner.wait()
    quiet_libraries()
    job = InferenceJob.model_validate_json(Path(job_file).read_text("utf-8"))
    try:
        arrays = run(job, partner if job.takes_turns or job.mode == "stream" else None)
    except Exception as error:
        if sentence := _sentence(error, job):
            _say(f"{FAILED} {' '.join(sentence.split())}")
        raise
    save_arrays(job.output, arrays)
    _say(DONE)
    threading.Event().wait()


def run(job: InferenceJob, partner: Partner | None = None) -> Arrays:
    """Load the artifact and return the arrays of the answer; take turns with ``partner`` while timing."""
    backend, artifact = BACKENDS.get(job.backend.name), Artifact.read(job.artifact)
    options = backend.options_type.model_validate(job.backend.params)
    task = FAMILIES.get(artifact.manifest.family).task
    if job.mode == "score":
        samples = answering(task).read(read_samples(job.samples))
        return {"logits": answering(task).scores_of(backend, artifact, options, samples, job.batch_size)}
    if task is Task.TEXT_GENERATION:
        return _generate(backend, artifact, options, job, partner)
    preprocess = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    samples = read_samples(job.samples)
    if job.mode == "stream" and partner:
        streamed = [preprocess(batch) for batch in _batches(samples, job.batch_size)]
        return stream(_answering_part(backend, artifact, options, job), streamed, job, partner)
    if job.mode == "profile":
        profiled = [preprocess(batch) for batch in _batches(samples, job.batch_size)[:PROFILED_QUERIES]]
        return _profile(backend, artifact, options, profiled, job.parent)
    started = time.perf_counter()
    session: Session = backend.load(artifact, options)
    loaded = time.perf_counter()
    batches = _batches(samples, job.batch_size)
    _answer(session, preprocess(batches[0]))
    called = time.perf_counter()
    for batch in batches[:WAKING_QUERIES]:
        _answer(session, preprocess(batch))
    pin_threads(job.cores if job.affinity == "each" else None)
    if job.slowdown:
        session = Slowed(session, job.slowdown)
    if job.mode == "agree":
        return _agree(session, preprocess, batches, job)
    counted = Counted(preprocess)

    def queries(batch_size: int) -> list[Query[Inputs]]:
        if not batch_size:
            return _queries(session, counted, _batches(samples, job.batch_size))
        whole = [batch for batch in _batches(samples, batch_size) if len(batch) == batch_size]
        return _queries(session, counted, whole)

    return _time(queries, lambda: counted.asked, job, partner) | _cold_start(started, loaded, called)


def _generate(
    backend: Backend[Any], artifact: Artifact, options: Any, job: InferenceJob, partner: Partner | None
) -> Arrays:
    """Do a job with a language model: what :func:`run` does with a classifier."""
    task = answering(Task.TEXT_GENERATION)
    samples = task.read(read_samples(job.samples))
    if job.mode == "profile":
        return _profile(backend, artifact, options, generation.single_tokens(artifact, samples), job.parent)
    asked = generation.Asked.of(artifact, samples, job.scenario.params)
    started = time.perf_counter()
    generator = backend.load_generator(artifact, options)
    loaded = time.perf_counter()
    asked.first_token(generator)
    called = time.perf_counter()
    asked.wake(generator)
    pin_threads(job.cores if job.affinity == "each" else None)
    queries = asked.queries(generator)
    return _time(lambda _: queries, lambda: asked.count, job, partner) | _cold_start(started, loaded, called)


def _cold_start(started: float, loaded: float, called: float) -> Arrays:
    return {"load_s": np.asarray(loaded - started), "first_call_s": np.asarray(called - loaded)}


class Counted:
    """A preprocessor that counts the samples it was given."""

    def __init__(self, preprocess: Preprocessor) -> None:
        self._preprocess, self.asked = preprocess, 0

    def __call__(self, batch: Batch) -> Inputs:
        """Preprocess a batch."""
        self.asked += len(batch)
        return self._preprocess(batch)


def _sentence(error: Exception, job: InferenceJob) -> str | None:
    """Return what a person should hear of an error, or ``None`` where only its traceback, in the log, can help."""
    if isinstance(error, SubsecondError):
        return str(error)
    if isinstance(error, MemoryError) or any(word in str(error).lower() for word in OUT_OF_MEMORY):
        device = job.backend.params.get("device", "cpu")
        return f"Out of memory on {device} with batches of {job.batch_size}. Choose a smaller batch or a smaller model."
    return None


def _answering_part(backend: Backend[Any], artifact: Artifact, options: Any, job: InferenceJob) -> Answer:
    """Load a model or a part of one, and return what answers a batch."""
    if job.part != "whole":
        return backend.load_part(artifact, options).run
    session = backend.load(artifact, options)
    return lambda inputs: {"logits": _answer(session, inputs)}


def _profile(
    backend: Backend[Any], artifact: Artifact, options: Any, queries: list[Inputs], parent: Path | None
) -> Arrays:
    """Return operator times as arrays, one entry an operator, and errors against the parent, one entry a value."""
    with tempfile.TemporaryDirectory() as scratch:
        times: list[OperatorTime] = backend.profile(artifact, options, queries, Path(scratch))
    errors: dict[str, float] = {}
    if parent is not None:
        with tempfile.TemporaryDirectory() as scratch:
            compared = queries[:COMPARED_QUERIES]
            errors = backend.layer_errors(artifact, Artifact.read(parent), compared, Path(scratch))
    in_file = backend.operators_in_file(artifact)
    return {
        "operators_in_file": np.asarray(-1 if in_file is None else in_file),
        "error_name": np.asarray(list(errors), dtype=np.str_),
        "error": np.asarray(list(errors.values()), dtype=np.float32),
        "operator_name": np.asarray([time.name for time in times], dtype=np.str_),
        "operator_kind": np.asarray([time.kind for time in times], dtype=np.str_),
        "operator_s": np.asarray([time.seconds for time in times], dtype=np.float32),
        "operator_calls": np.asarray([time.calls for time in times], dtype=np.float32),
        "operator_bytes": np.asarray([time.size_bytes for time in times], dtype=np.int64),
        "operator_provider": np.asarray([time.provider for time in times], dtype=np.str_),
    }


def _time(
    queries: Callable[[int], Sequence[Query[Any]]],
    count: Callable[[], int],
    job: InferenceJob,
    partner: Partner | None,
) -> Arrays:
    """Time the scenario's queries, and watch the machine between the passes.

    Args:
        queries: batches of a size, see :class:`Bench`.
        count: tells how many samples were asked so far.
        job: what to do.
        partner: with whom to take turns.
    """
    scenario = SCENARIOS.get(job.scenario.name)
    options = scenario.options_type.model_validate(job.scenario.params)
    watch, meter = Watch(), Meter(counters(str(job.backend.params.get("device", "cpu"))))
    watch.start()
    cpu_before = time.process_time()
    turns = Turns(partner, leave=meter.pause, enter=meter.resume)
    timed = scenario.time(Bench(queries, job.plan, time.perf_counter_ns, time.sleep, watch, job.seed, turns), options)
    cpu_s, joules = time.process_time() - cpu_before, meter.joules()
    asked = count()
    return {
        **timed,
        "cpu_s_per_query": np.asarray(cpu_s / asked),
        "energy_j_per_query": np.asarray(np.nan if joules is None else joules / asked),
        "energy_source": np.asarray(meter.source),
        **watch.arrays(),
    }


def _agree(session: Session, preprocess: Preprocessor, batches: list[Batch], job: InferenceJob) -> Arrays:
    """Time every query twice in one pass, once by our loop alone and once by the standard library's ``timeit`` too.

    The two take turns at going first, so that neither has the warmer caches or the better minute.
    """
    theirs: list[float] = []
    held: list[Inputs] = []
    timer = timeit.Timer(lambda: _answer(session, held[0]))

    def by_timeit(inputs: Inputs) -> None:
        held[:] = [inputs]
        theirs.append(timer.timeit(number=1))

    queries: list[Query[Inputs]] = []
    is_ours: list[bool] = []
    for number, plain in enumerate(_queries(session, preprocess, batches)):
        pair = [(plain, True), (Query(plain.prepare, by_timeit), False)]
        for query, mine in pair if number % 2 else reversed(pair):
            queries.append(query)
            is_ours.append(mine)
    measure(queries, Plan(1, 0, 0.0, job.warmup_seconds))
    theirs.clear()
    run_ns = np.asarray(measure(queries, Plan(1, 2 * job.min_iterations, 0.0, 0.0)).run_ns, dtype=np.int64)
    mine_of_all = np.tile(is_ours, len(run_ns) // len(queries))
    return {"run_ns": run_ns[mine_of_all], "timeit_ns": np.rint(np.asarray(theirs) * 1e9)}


def _batches(samples: Samples, batch_size: int) -> list[Batch]:
    """Cut samples into batches; the last one may be smaller."""
    return [
        take(samples, np.arange(start, min(start + batch_size, len(samples))))
        for start in range(0, len(samples), batch_size)
    ]


def _queries(session: Session, preprocess: Callable[[Batch], Inputs], batches: list[Batch]) -> list[Query[Inputs]]:
    """Return one query a batch."""

    def query(batch: Batch) -> Query[Inputs]:
        return Query(lambda: preprocess(batch), lambda inputs: _answer(session, inputs))

    return [query(batch) for batch in batches]


class Slowed:
    """A session that is slower by a known share: it spins after every query for that share of the query's time."""

    def __init__(self, session: Session, share: float) -> None:
        self._session, self._share = session, share

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Answer as the session does, only later."""
        started = time.perf_counter_ns()
        logits = self._session.run(inputs)
        self._session.synchronize()
        until = time.perf_counter_ns() * (1 + self._share) - started * self._share
        while time.perf_counter_ns() < until:
            pass
        return logits

    def synchronize(self) -> None:
        """Return at once: ``run`` waited already."""


def _answer(session: Session, inputs: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    """Run one batch to its end."""
    logits = session.run(inputs)
    session.synchronize()
    return logits


def _say(word: str) -> None:
    """Tell the parent."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _die_with_parent() -> None:
    """Ask Linux for an end when the parent ends: a process that is stopped between turns cannot notice it by itself."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _listen(partner: ByPipe) -> None:
    """Pass the parent's words on; end the process when standard input closes."""
    heard = b""
    while read := os.read(sys.stdin.fileno(), 64):  # the file's own buffer would be locked when the interpreter ends
        *words, heard = (heard + read).split(b"\n")
        for word in words:
            partner.hear(word.decode())
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
