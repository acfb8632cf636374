"""The tables of campaign and soak: every kill is counted once, in its row and in its column."""

from collections import Counter
from pathlib import Path

import pytest

from tests.chaos import tables
from tests.chaos.campaign import BEFORE, IDLE, Report

REPORT = Report(
    seed=3,
    kills=Counter({"worker": 3, "page": 1}),
    in_stage=Counter({("worker", "train"): 2, ("worker", BEFORE): 1, ("page", IDLE): 1}),
    ends=Counter({"done": 1200, "failed": 2}),
    integrity=Counter({"ok": 4}),
    kept=1190,
    stages=35,
    locks=36,
    seconds=12.3,
)


def test_kills_stand_by_part_and_stage() -> None:
    lines = tables.of_campaign(REPORT).splitlines()
    assert lines[:5] == [
        "| killed | no run | start | train | kills |",
        "| --- | --- | --- | --- | --- |",
        "| worker | 0 | 1 | 2 | 3 |",
        "| page | 1 | 0 | 0 | 1 |",
        "| all | 1 | 1 | 2 | 4 |",
    ]
    assert "| runs | 1,202: 1,200 done, 2 failed |" in lines
    assert "| finished runs read again, unchanged | 1,190 |" in lines
    assert "| processes left over | 0 |" in lines
    assert "| SQLite's integrity check | ok 4 times |" in lines
    assert "| seed, duration | 3, 12 s |" in lines


def test_soak_and_crowd_are_one_row_that_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tables.of_soak(2000, 2, 3 * 2**20, 1, 765.4)
    assert table.splitlines()[-1] == "| 2,000 | 2 | 3.0 MiB | 1 | 765 s |"
    assert tables.of_crowd(302, 2, 10, 1234, 99, 60.4).splitlines()[-1] == "| 302 | 2 | 10 | 1,234 | 99 | 60 s |"
    tables.show(table, tmp_path / "soak.md")
    assert capsys.readouterr().out == table == (tmp_path / "soak.md").read_text()
