"""What campaign and soak have shown, as tables in Markdown."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.chaos.campaign import BEFORE, IDLE, Report
from tests.chaos.worker import STAGES


def of_campaign(report: Report) -> str:
    """Return what was killed at which stage, and what was left of everything."""
    columns = [stage for stage in (IDLE, BEFORE, *STAGES) if any(at == stage for _, at in report.in_stage)]
    rows = [
        (part, *(report.in_stage[part, stage] for stage in columns), count)
        for part, count in report.kills.most_common()
    ]
    sums = [sum(count for (_, at), count in report.in_stage.items() if at == stage) for stage in columns]
    killed = _table(("killed", *columns, "kills"), [*rows, ("all", *sums, report.kills.total())])
    ends = ", ".join(f"{count:,} {name}" for name, count in report.ends.most_common())
    answers = ", ".join(f"{answer} {count} times" for answer, count in report.integrity.most_common())
    left = _table(
        ("looked at", "found"),
        [
            ("runs", f"{report.ends.total():,}: {ends}"),
            ("finished runs read again, unchanged", f"{report.kept:,}"),
            ("cached stages with the right content", f"{report.stages:,}"),
            ("locks that are free", f"{report.locks:,}"),
            ("processes left over", report.orphans),
            ("SQLite's integrity check", answers),
            ("seed, duration", f"{report.seed}, {report.seconds:.0f} s"),
        ],
    )
    return f"{killed}\n{left}"


def of_soak(runs: int, services: int, growth_bytes: int, descriptors: int, seconds: float) -> str:
    """Return what many runs in a row did to the services."""
    header = ("runs done exactly once", "services", "memory grew by at most", "more descriptors open", "duration")
    row = (f"{runs:,}", services, f"{growth_bytes / 2**20:.1f} MiB", descriptors, f"{seconds:.0f} s")
    return _table(header, [row])


def of_crowd(*numbers: float) -> str:
    """Return what everybody did at once: runs, services, dashboards, fewest looks of one, whole exports, seconds."""
    *counts, seconds = numbers
    header = (
        "runs done exactly once",
        "services",
        "dashboards",
        "looks of each",
        "whole exports",
        "duration",
    )
    return _table(header, [(*(f"{count:,}" for count in counts), f"{seconds:.0f} s")])


def show(table: str, file: Path | None) -> None:
    """Print a table, and write it to a file if one is named."""
    sys.stdout.write(table)
    if file is not None:
        file.write_text(table, "utf-8")


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines: list[Sequence[object]] = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
