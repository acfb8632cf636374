"""Whether the measuring core keeps what it promises: ``python -m tests.benchmarks.bench_trust [PART ...]``.

About an hour and a half on a machine that does nothing else; nothing else may run beside it. The parts are independent
and each line is appended to ``SUBSECOND_BENCH`` (``trust.jsonl`` in the user's cache), so that an interrupted benchmark
goes on where it stopped: remove the file to begin anew. ``report`` prints the table, ``record`` keeps the numbers
beside this file, from which the README's table is made.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from engine.measure import stability
from engine.measure.environment import machine_id, source_revision
from engine.measure.timing import PLANS, Plan
from engine.paths import cache_folder
from engine.pipeline import Pipeline
from engine.resolve import resolve
from engine.selfcheck import TIMER_TOLERANCE, Comparison, Instrument, busy_core
from engine.spec import Choice, Effort, ExperimentSpec

MODEL, BACKEND, TECHNIQUE = "minilm-l6", "onnxruntime", "int8-dynamic"
APART_S = 600
RECORDED = Path(__file__).with_name("trust.jsonl")
Line = dict[str, Any]


def log_file() -> Path:
    """Return the file that keeps what was measured."""
    return Path(os.environ.get("SUBSECOND_BENCH") or cache_folder() / "trust.jsonl")


def lines(part: str, file: Path | None = None) -> list[Line]:
    """Return what was measured of a part so far, or what stands in another file."""
    file = file or log_file()
    if not file.is_file():
        return []
    found = [json.loads(text) for text in file.read_text("utf-8").splitlines()]
    return [line for line in found if line["part"] == part]


def spec_of(effort: Effort, *techniques: str) -> ExperimentSpec:
    """Return what is measured: the sentence encoder on ONNX Runtime."""
    steps = [Choice(name=name) for name in techniques]
    return resolve(model=MODEL, backend=Choice(name=BACKEND), techniques=steps, effort=effort)


def comparison(instrument: Instrument, slowdown: float = 0.0, *, retry: bool = True, plan: Plan | None = None) -> Line:
    """Compare once and return the numbers."""
    began = time.monotonic()
    with instrument.lane():
        found: Comparison = instrument.compare(slowdown, retry=retry, plan=plan)
    ratio = found.speedup
    return {
        "ratio": ratio.value,
        "ci95": ratio.ci95,
        "different": ratio.is_different,
        "noisy": found.noisy,
        "retried": found.retried,
        "seen": found.seen.model_dump(),
        "noise": stability.noise(found.seen),
        "seconds": time.monotonic() - began,
    }


def beside_hog(instrument: Instrument) -> Line:
    """Compare once, at quick effort, while a program uses up a core."""
    with busy_core():
        return comparison(instrument, retry=False, plan=PLANS[Effort.QUICK])


def timer(instrument: Instrument) -> Line:
    """Compare our clock with the standard library's."""
    with instrument.lane():
        ours, theirs = instrument.timer_difference()
    return {"ours_ms": ours, "timeit_ms": theirs, "difference": ours / theirs - 1}


def whole_run(effort: Effort) -> Line:
    """Do a whole run of the int8 variant against PyTorch eager; say its speed-up and what the timing cost."""
    with tempfile.TemporaryDirectory() as folder:
        result, _ = Pipeline(spec_of(effort, TECHNIQUE), Path(folder), lambda event: None).run()
    timed = [stage.seconds for stage in result.stages if stage.name == "time"]
    return {
        "ratio": result.speedup.value,
        "ci95": result.speedup.ci95,
        "seconds": timed[0],
        "again": any(stage.name == "time again" for stage in result.stages),
        "noisy": "noisy" in {warning.code for warning in result.warnings},
        "seen": result.disturbance.model_dump() if result.disturbance else None,
    }


def repeat(part: str, times: int, do: Callable[[], Line]) -> None:
    """Bring a part to its number of lines."""
    for number in range(len(lines(part)), times):
        line = {"part": part, "at": time.time(), "machine": machine_id(), "source": source_revision(), **do()}
        with log_file().open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        short = {
            name: value for name, value in line.items() if name in ("ratio", "ci95", "noise", "difference", "seconds")
        }
        sys.stdout.write(f"{part} {number + 1}/{times} {short}\n")
        sys.stdout.flush()


def repeat_later(times: int) -> None:
    """Do the second run of each pair, ten minutes after its first at the least."""
    for first in lines("first")[len(lines("later")) : times]:
        time.sleep(max(0.0, first["at"] + APART_S - time.time()))
        repeat("later", len(lines("later")) + 1, partial(whole_run, Effort.STANDARD))


def parts(instrument: Instrument) -> dict[str, Callable[[], None]]:
    """Return every part by its name, in an order that puts ten minutes between the runs of a pair."""
    return {
        "first": lambda: repeat("first", 6, partial(whole_run, Effort.STANDARD)),
        "timer": lambda: repeat("timer", 10, partial(timer, instrument)),
        "same": lambda: repeat("same", 40, partial(comparison, instrument)),
        "later": lambda: repeat_later(6),
        "slower5": lambda: repeat("slower5", 20, partial(comparison, instrument, 0.05)),
        "slower10": lambda: repeat("slower10", 20, partial(comparison, instrument, 0.10)),
        "hog": lambda: repeat("hog", 20, partial(beside_hog, instrument)),
        "quick": lambda: repeat("quick", 3, partial(whole_run, Effort.QUICK)),
    }


def inside(line: Line, true: float) -> bool:
    """Tell whether the true ratio lies in the interval."""
    return bool(line["ci95"][0] <= true <= line["ci95"][1])


def report(file: Path | None = None) -> Iterator[tuple[str, str, str]]:
    """Yield what was asked, what had to come out, what came out; parts that were not measured are left out."""
    same = lines("same", file)
    if same:
        yield (
            "a model against itself, standard effort",
            "at most 2 of 40 called different",
            f"{sum(line['different'] for line in same)} of {len(same)}; "
            f"1.00x inside the interval in {sum(inside(line, 1.0) for line in same)}",
        )
        yield (
            "the same, on a quiet machine",
            "at most 1 of 20 marked noisy",
            f"{sum(line['noisy'] for line in same)} of {len(same)}",
        )
    for part, share, needed in (("slower5", 0.05, 16), ("slower10", 0.10, 20)):
        found = lines(part, file)
        if found:
            yield (
                f"slowed by {share:.0%} on purpose, standard effort",
                f"at least {needed} of 20 found, true size inside the interval in 18",
                f"{sum(line['different'] for line in found)} of {len(found)} found, "
                f"inside in {sum(inside(line, 1 + share) for line in found)}",
            )
    hog = lines("hog", file)
    if hog:
        yield (
            "a busy loop beside the timing",
            "at least 19 of 20 marked noisy",
            f"{sum(line['noisy'] for line in hog)} of {len(hog)}",
        )
    yield from report_times(file)


def report_times(file: Path | None) -> Iterator[tuple[str, str, str]]:
    """Yield the agreement with another timer, what timing costs, and how well it repeats."""
    timers = lines("timer", file)
    if timers:
        worst = max(abs(line["difference"]) for line in timers)
        good = sum(abs(line["difference"]) <= TIMER_TOLERANCE for line in timers)
        yield (
            "p50 against Python's `timeit`, same session",
            "within 3 %, 10 of 10",
            f"{good} of {len(timers)}, worst {worst:.1%}",
        )
    first, later = lines("first", file), lines("later", file)
    for name, found, limit in (("quick", lines("quick", file), 40), ("standard", first + later, 120)):
        if found:
            worst_s = max(line["seconds"] for line in found)
            yield (f"what timing adds to a run, {name} effort", f"at most {limit} s", f"{worst_s:.0f} s at most")
    if later:
        overlaps = sum(
            a["ci95"][0] <= b["ci95"][1] and b["ci95"][0] <= a["ci95"][1] for a, b in zip(first, later, strict=False)
        )
        yield (
            "six runs repeated ten minutes later or more",
            "speed-up intervals overlap in 6 of 6",
            f"{overlaps} of {len(later)}",
        )


def table(file: Path | None = None) -> str:
    """Return the report as a Markdown table."""
    rows = [("tried", "has to come out", "came out"), ("---", "---", "---"), *report(file)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def record() -> None:
    """Keep what was measured beside this file, without what the report does not need; the README's table shows it."""
    kept = ("part", "at", "source", "ratio", "ci95", "different", "noisy", "retried", "seconds", "difference")
    with RECORDED.open("w", encoding="utf-8") as file:
        for text in log_file().read_text("utf-8").splitlines():
            line = json.loads(text)
            file.write(json.dumps({name: rounded(line[name]) for name in kept if name in line}) + "\n")


def rounded(value: Any) -> Any:
    """Return a number with five digits after the point, anything else as it is."""
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 5) if isinstance(value, float) else value


def main(names: tuple[str, ...] = ()) -> None:
    """Measure the named parts, or all, and print the table."""
    log_file().parent.mkdir(parents=True, exist_ok=True)
    if names == ("record",):
        record()
    elif names != ("report",):
        with tempfile.TemporaryDirectory() as folder:
            every = parts(Instrument(spec_of(Effort.STANDARD), Path(folder)))
            for name in names or every:
                every[name]()
    sys.stdout.write(table())


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
