"""Where the files of runs lie, and how much of a log is read."""

from pathlib import Path

from engine.store.folders import RunFolder, runs_folder
from engine.store.store import Store


def test_runs_lie_beside_the_database(store: Store, database_path: Path) -> None:
    assert store.run_folder(7).path == database_path.parent / "runs" / "7"


def test_runs_of_a_server_lie_in_the_users_data_folder() -> None:
    assert runs_folder(None).parts[-2:] == ("subsecond", "runs")


def test_no_log_reads_as_empty(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "missing").log_tail() == ""


def test_a_short_log_is_read_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.log.write_bytes(b"one\ntwo\xff\n")
    assert folder.log_tail() == "one\ntwo\N{REPLACEMENT CHARACTER}\n"


def test_a_long_log_is_read_from_a_lines_start(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.log.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert folder.log_tail(limit_bytes=25) == "line 998\nline 999\n"


def test_one_endless_line_is_cut(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.log.write_text("x" * 1000)
    assert folder.log_tail(limit_bytes=10) == "x" * 10
