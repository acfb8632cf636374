"""Proof that the instrument is right on this machine: a known difference is found, and none where there is none."""

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from engine.analysis import statistics
from engine.answering import answering
from engine.datasets import load_dataset
from engine.measure import environment, stability
from engine.measure.disturbance import pin
from engine.measure.jobs import InferenceJob
from engine.measure.lane import quiet_lane
from engine.measure.paired import Side, time_pairs
from engine.measure.processes import Launcher, launch
from engine.measure.timing import PLANS, Plan, Query, measure
from engine.measure.turns import Clock
from engine.outcome import draw_samples
from engine.pipeline import TIMED_SAMPLES
from engine.preparation import Builder
from engine.results import Check, Disturbance, Ratio, SelfCheck
from engine.scenarios.single_stream import SingleStream, SingleStreamOptions
from engine.spec import ExperimentSpec
from engine.stages import Stage, StageCache

SLOWDOWN = 0.10
TIMER_TOLERANCE = 0.03
CLOCK_TOLERANCE = 0.01
_CLOCK_READINGS = 20_000
_HOG = "while True: pass"

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Comparison:
    """One comparison of an artifact with itself, or with itself made slower."""

    speedup: Ratio
    seen: Disturbance
    p50_ms: float
    retried: bool

    @property
    def noisy(self) -> bool:
        """Tell whether it was marked noisy."""
        return stability.noise(self.seen) > 1


class Instrument:
    """One artifact of one model on one backend, and the ways to measure it against itself.

    Args:
        spec: what to measure; complete, as :func:`engine.resolve.resolve` returns it.
        scratch: an empty folder.
        report: takes the share done and a short text.
        cache: where stages are kept.
        launch: runs one inference process; tests put a fake here.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        scratch: Path,
        report: Report = lambda share, text: None,
        cache: StageCache | None = None,
        launch: Launcher = launch,
    ) -> None:
        self._spec, self._scratch, self._report, self._launch = spec, scratch, report, launch
        dataset = load_dataset(spec.dataset)
        builder = Builder(spec, dataset, cache or StageCache(), self._frame, report, launch=launch)
        self._artifact = builder.candidate().stage.folder
        self._samples = scratch / "timed.npz"
        draw_samples(
            answering(spec.task), dataset.validation, TIMED_SAMPLES * spec.batch_size, spec.seed, self._samples
        )
        cores = environment.affinity()
        self.cores = cores[: int(spec.backend.params["threads"])] if cores else None

    def lane(self) -> AbstractContextManager[None]:
        """Hold the quiet lane of the device; nothing else of ours is timed meanwhile."""
        return quiet_lane(str(self._spec.backend.params["device"]))

    def compare(self, slowdown: float = 0.0, *, retry: bool = True, plan: Plan | None = None) -> Comparison:
        """Time the artifact against itself, made slower by ``slowdown`` on one side; the true ratio is 1 + slowdown.

        Args:
            retry: time once more where it was noisy, as a run does.
            plan: another plan than that of the spec's effort.
        """
        first = self._compare_once(slowdown, plan or PLANS[self._spec.effort], retried=False)
        if not retry or not first.noisy:
            return first
        again = self._compare_once(slowdown, plan or PLANS[self._spec.effort], retried=True)
        return min(first, again, key=lambda one: stability.noise(one.seen))

    def timer_difference(self, iterations: int = 1500) -> tuple[float, float]:
        """Return p50 in milliseconds by our loop and by ``timeit``, on the same queries of the same session."""
        job = self._job("agree").model_copy(update={"min_iterations": iterations, "warmup_seconds": 0.5})
        arrays = self._launch([job])[0].arrays
        ours, theirs = (float(np.median(arrays[name].astype(np.float64))) / 1e6 for name in ("run_ns", "timeit_ns"))
        return ours, theirs

    def _compare_once(self, slowdown: float, plan: Plan, *, retried: bool) -> Comparison:
        backend = self._spec.backend
        timed = time_pairs(
            Side("plain", self._artifact, backend),
            Side("slowed", self._artifact, backend, slowdown),
            plan=plan,
            samples=self._samples,
            scratch=self._scratch,
            batch_size=self._spec.batch_size,
            cores=self.cores,
            launch=self._launch,
            report=self._report,
        )
        readings = [SingleStream().read(side, self._spec.batch_size, SingleStreamOptions()) for side in timed]
        return Comparison(
            statistics.paired_speedup(readings[0].cost, readings[1].cost, readings[0].queries),
            stability.disturbance([*timed[0].reports, *timed[1].reports]),
            float(np.median(np.concatenate(timed[0].seconds()))) * 1e3,
            retried,
        )

    def _job(self, mode: str) -> InferenceJob:
        return InferenceJob.model_validate(
            {
                "mode": mode,
                "artifact": self._artifact,
                "backend": self._spec.backend,
                "samples": self._samples,
                "output": self._scratch / f"{mode}.npz",
                "batch_size": self._spec.batch_size,
                "cores": self.cores,
            }
        )

    @contextmanager
    def _frame(self, name: str) -> Iterator[Callable[[Stage], Stage]]:
        self._report(0, name)
        yield lambda stage: stage


def selfcheck(
    spec: ExperimentSpec, report: Report = lambda share, text: None, cache: StageCache | None = None
) -> SelfCheck:
    """Try the instrument on this machine; nothing else of ours is timed meanwhile.

    Raises:
        RunError: if the model cannot be prepared or an inference process dies.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="subsecond-selfcheck-") as folder:
        instrument = Instrument(spec, Path(folder), report, cache)
        with instrument.lane():
            checks = tuple(examine(instrument, report))
    return SelfCheck(
        machine=environment.machine_id(),
        model=spec.model,
        backend=spec.label(),
        effort=spec.effort,
        checked_at=datetime.now(UTC),
        seconds=time.monotonic() - began,
        environment=environment.describe(),
        checks=checks,
    )


def examine(
    instrument: Instrument,
    report: Report = lambda share, text: None,
    hog: Callable[[], AbstractContextManager[None]] | None = None,
    clock: Clock = perf_counter_ns,
) -> Iterator[Check]:
    """Yield one check after the other.

    Args:
        instrument: what is examined.
        report: takes the share done and a short text.
        hog: starts programs that use up cores; :func:`busy_core` on the timed ones if not given.
        clock: the clock that is examined.
    """
    report(0, "the clock")
    same = instrument.compare()
    yield clock_check(same.p50_ms, clock)
    yield timer_check(*instrument.timer_difference())
    yield quiet_check(same.seen)
    yield same_check(same)
    yield slower_check(instrument.compare(SLOWDOWN), SLOWDOWN)
    with (hog or partial(busy_core, instrument.cores))():
        yield hog_check(instrument.compare(retry=False, plan=PLANS_OF_HOG).seen)


PLANS_OF_HOG = Plan(pairs=1, min_iterations=100, min_seconds=1.0, warmup_seconds=0.2)
"""One pair is enough to see whether a foreign load is noticed."""


def clock_check(p50_ms: float, clock: Clock = perf_counter_ns) -> Check:
    """Check that the clock's steps and its cost are small beside one query."""
    readings = np.asarray([clock() for _ in range(_CLOCK_READINGS)], dtype=np.int64)
    steps = np.diff(readings)
    resolution_ns = float(steps[steps > 0].min()) if (steps > 0).any() else float("inf")
    empty = measure([Query(lambda: None, lambda _: None)] * 1000, Plan(1, 1000, 0.0, 0.0), clock).run_ns
    overhead_ns = float(np.median(empty))
    share = max(resolution_ns, overhead_ns) / (p50_ms * 1e6)
    return Check(
        name="Clock",
        expected=f"steps and cost below {CLOCK_TOLERANCE:.0%} of a query",
        seen=f"steps of {resolution_ns:.0f} ns, {overhead_ns:.0f} ns a reading: {share:.3%} of a query",
        passed=bool((steps >= 0).all()) and share < CLOCK_TOLERANCE,
        values={"resolution_ns": resolution_ns, "overhead_ns": overhead_ns, "share": share},
    )


def timer_check(ours_ms: float, theirs_ms: float) -> Check:
    """Check that our loop and ``timeit`` agree."""
    difference = ours_ms / theirs_ms - 1
    return Check(
        name="Independent timer",
        expected=f"p50 within {TIMER_TOLERANCE:.0%} of timeit on the same session",
        seen=f"{ours_ms:.4g} ms here, {theirs_ms:.4g} ms by timeit: {difference:+.1%}",
        passed=abs(difference) <= TIMER_TOLERANCE,
        values={"ours_ms": ours_ms, "timeit_ms": theirs_ms, "difference": difference},
    )


def quiet_check(seen: Disturbance) -> Check:
    """Check that nobody else used the machine while it was checked."""
    noise = stability.noise(seen)
    share = "cannot be read" if seen.foreign_share is None else f"{seen.foreign_share:.1%} of the cores"
    return Check(
        name="Quiet machine",
        expected=f"others use less than {stability.FOREIGN_LIMIT:.0%} of the cores",
        seen=f"{share}, clock drift {seen.clock_drift or 0:.1%}",
        passed=noise <= 1,
        values={**seen.model_dump(exclude={"pinned"}), "noise": noise},
    )


def same_check(comparison: Comparison) -> Check:
    """Check that a thing compared with itself comes out as tied."""
    ratio = comparison.speedup
    return Check(
        name="Same against same",
        expected="tied",
        seen=f"{ratio.value:.3f}x {_interval(ratio)}: {'different' if ratio.is_different else 'tied'}",
        passed=not ratio.is_different,
        values=_values(ratio),
    )


def slower_check(comparison: Comparison, slowdown: float) -> Check:
    """Check that a slowdown of known size is found, and its size lies in the interval."""
    ratio, true = comparison.speedup, 1 + slowdown
    inside = ratio.ci95 is not None and ratio.ci95[0] <= true <= ratio.ci95[1]
    found = "found" if ratio.is_different else "not found"
    return Check(
        name=f"Slowed by {slowdown:.0%} on purpose",
        expected=f"found, {true:.2f}x inside the interval",
        seen=f"{ratio.value:.3f}x {_interval(ratio)}: {found}, {'inside' if inside else 'outside'}",
        passed=ratio.is_different and inside,
        values={**_values(ratio), "true": true},
    )


def hog_check(seen: Disturbance) -> Check:
    """Check that a program that uses up a core is noticed."""
    share = "cannot be read" if seen.foreign_share is None else f"{seen.foreign_share:.0%} of the cores"
    noisy = stability.noise(seen) > 1
    return Check(
        name="A program beside it",
        expected="marked noisy",
        seen=f"{share}: {'noisy' if noisy else 'not noticed'}",
        passed=noisy,
        values={"foreign_share": seen.foreign_share},
    )


@contextmanager
def busy_core(cores: tuple[int, ...] | None = None) -> Iterator[None]:
    """Run a program that uses up one core; on some of ``cores`` if they are many, so that it must be noticed.

    Where they share their cores with what is timed, they get half of them.
    """
    chosen = (cores or ())[: math.ceil(3 * stability.FOREIGN_LIMIT * len(cores or ()))]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for core in chosen or (None,):
            running.append(subprocess.Popen([sys.executable, "-c", _HOG]))
            pin(running[-1].pid, None if core is None else (core,))
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def _interval(ratio: Ratio) -> str:
    return f"[{ratio.ci95[0]:.3f}, {ratio.ci95[1]:.3f}]" if ratio.ci95 else "without an interval"


def _values(ratio: Ratio) -> dict[str, float | None]:
    low, high = ratio.ci95 or (None, None)
    return {"ratio": ratio.value, "ci95_low": low, "ci95_high": high}
