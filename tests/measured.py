"""The README's tables of numbers, made from the runs that ship in ``experiments.db``."""

import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from engine.analysis.command import command_line
from engine.results import Metric, Ratio, RunRecord, RunResult, Status
from engine.store.store import Store
from engine.units import format_bytes, format_ms, format_seconds

DATABASE = Path(__file__).parents[1] / "experiments.db"
XEON, EPYC = "Intel(R) Xeon(R) Processor", "AMD EPYC"
"""The processors of the two machines on which studies were recorded, as they call themselves; the first has AMX."""

Row = tuple[str, ...]
COMPRESSED: Row = ("model", "techniques", "backend", "p50", "speed-up", "accuracy", "size")
SPOKEN: Row = (
    "techniques",
    "backend",
    "64 tokens",
    "speed-up",
    "first token",
    "tokens/s",
    "accuracy",
    "perplexity",
    "size",
)
QUALITY: Row = ("techniques", "backend", "right on ARC-Easy", "gained, lost", "by length", "McNemar's p")
RUNTIMES: Row = ("model", "backend", "p50", "speed-up", "load and first answer", "peak memory")


def recorded(*studies: str, processor: str = XEON) -> list[tuple[RunRecord, RunResult]]:
    """Return the finished runs of these studies on one processor, as they were recorded, one query at a time."""
    with tempfile.TemporaryDirectory() as folder:  # opening a store may write beside it
        store = Store(shutil.copy(DATABASE, Path(folder) / "experiments.db"))
        try:
            runs = [run for study in studies for run in reversed(store.runs(status=[Status.DONE], study=study))]
        finally:
            store.close()
    found = [(run, run.result) for run in runs if run.result and run.spec.scenario.name != "offline"]
    return [(run, result) for run, result in found if result.environment.cpu_model == processor]


def compressions(study: str) -> list[Row]:
    """Return one row a run, the fastest first within its model."""
    found = sorted(recorded(study), key=lambda one: (one[0].spec.model, one[1].latency.p50_ms))
    return [
        (
            f"`{run.spec.model}`",
            _steps(run),
            f"`{_backend(run)}`",
            format_ms(result.latency.p50_ms),
            _ratio(result.speedup),
            _change(result),
            format_bytes(result.footprint.size_bytes),
        )
        for run, result in found
    ]


def runtimes(study: str) -> list[Row]:
    """Return one row a backend and model, of what was not compressed; what was timed before in ``cnn`` is not again."""
    plain = [
        (run, result)
        for run, result in recorded("cnn", study)
        if not run.spec.techniques and run.spec.model in ("fashion-cnn", "minilm-l6")
    ]
    return [
        (
            f"`{run.spec.model}`",
            f"`{_backend(run)}`",
            format_ms(result.latency.p50_ms),
            _ratio(result.speedup),
            format_seconds(result.footprint.load_s + result.footprint.first_call_s),
            format_bytes(result.footprint.peak_memory_bytes),
        )
        for run, result in sorted(plain, key=lambda one: (one[0].spec.model, one[1].latency.p50_ms))
    ]


def answers(study: str, processor: str = XEON) -> list[Row]:
    """Return one row a run of a language model that continued texts, the fastest first."""
    found = [one for one in recorded(study, processor=processor) if one[0].spec.dataset.startswith("lambada")]
    return [
        (
            _steps(run),
            f"`{_backend(run)}`",
            format_ms(result.latency.p50_ms),
            _ratio(result.speedup),
            format_ms(result.generation["first_token_p50_ms"].value or 0.0),
            f"{result.generation['tokens_per_s'].value:.0f}",
            _change(result),
            _perplexity(result),
            format_bytes(result.footprint.size_bytes),
        )
        for run, result in sorted(found, key=lambda one: one[1].latency.p50_ms)
    ]


def questions(study: str, processor: str = XEON) -> list[Row]:
    """Return one row a run of a language model that answered questions, the best first."""
    found = [one for one in recorded(study, processor=processor) if one[0].spec.dataset.startswith("arc-easy")]
    return [
        (
            _steps(run),
            f"`{_backend(run)}`",
            f"{_with_interval(result.metrics['accuracy'])}, {100 * result.accuracy_change.value:+.1f}",
            f"+{result.accuracy_change.gained}, -{result.accuracy_change.lost}",
            _with_interval(result.metrics["accuracy_norm"]),
            f"{result.accuracy_change.p_value:.2g}",
        )
        for run, result in sorted(found, key=lambda one: -(one[1].metrics["accuracy"].value or 0.0))
    ]


def _steps(run: RunRecord) -> str:
    return " ".join(f"`{step}`" for step in _words(run, "-t")) or "none"


def _with_interval(metric: Metric) -> str:
    low, high = metric.ci95 or (metric.value, metric.value)
    return f"{metric.value:.1%} ({low:.1%} to {high:.1%})"


def _perplexity(result: RunResult) -> str:
    """Return the perplexity and how many times the baseline's it is, with its interval."""
    found, ratio = result.metrics["perplexity"], result.generation["perplexity_ratio"]
    low, high = ratio.ci95 or (ratio.value, ratio.value)
    return f"{found.value:.1f}, {ratio.value:.2f}x ({low:.2f} to {high:.2f})"


def _words(run: RunRecord, option: str) -> Sequence[str]:
    """Return what follows an option in the command that repeats a run, where defaults are left out."""
    words = shlex.split(command_line(run.spec))
    return [word for before, word in pairwise(words) if before == option]


def _backend(run: RunRecord) -> str:
    """Return backend and options, without the threads, which are the same in a whole table."""
    return re.sub(r"[:,]threads=\d+", "", _words(run, "--backend")[0])


def _ratio(speedup: Ratio) -> str:
    low, high = speedup.ci95 or (speedup.value, speedup.value)
    return f"{speedup.value:.3g}x ({low:.3g} to {high:.3g})"


def _change(result: RunResult) -> str:
    """Return accuracy, what was lost in points, and whether that is more than chance."""
    change = result.accuracy_change
    verdict = "differs" if change.is_different else "tied"
    accuracy = result.metrics["accuracy"].value
    return f"{accuracy:.1%}, {100 * change.value:+.1f}, {verdict}" if accuracy is not None else verdict


TABLES: dict[str, tuple[Row, Callable[[], list[Row]]]] = {
    "encoder": (COMPRESSED, partial(compressions, "encoder")),
    "cnn": (COMPRESSED, partial(compressions, "cnn")),
    "backends": (RUNTIMES, partial(runtimes, "backends")),
    "language": (SPOKEN, partial(answers, "language")),
    "language_epyc": (SPOKEN, partial(answers, "language", EPYC)),
    "questions": (QUALITY, partial(questions, "language")),
    "questions_epyc": (QUALITY, partial(questions, "language", EPYC)),
}
"""By the name of the table: the header, and what makes the rows."""
