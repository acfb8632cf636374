"""Copies of a database: consistent while others write, refused when damaged, brought back whole, salvaged in part."""

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from engine.errors import ContradictionError, InvalidValueError, SchemaError, StoreError
from engine.store.backup import backup, repair, restore
from engine.store.store import Store
from tests.contracts.test_store_notes import add
from tests.fakes import MACHINE, make_spec


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "experiments.db"


def filled(path: Path, runs: int = 3) -> Store:
    store = Store(path)
    for seed in range(runs):
        add(store, seed)
    return store


def overwrite(path: Path, needle: bytes, length: int = 600) -> None:
    """Destroy the page that holds some bytes."""
    content = bytearray(path.read_bytes())
    place = content.index(needle) // 4096 * 4096
    content[place : place + length] = b"\xff" * length
    path.write_bytes(bytes(content))


def test_a_copy_holds_every_finished_run_as_it_was(path: Path, tmp_path: Path) -> None:
    store = filled(path)
    assert backup(str(path), tmp_path / "copy.db") == (tmp_path / "copy.db").stat().st_size
    copy = Store(tmp_path / "copy.db")
    assert [copy.run(run_id) for run_id in (1, 2, 3)] == [store.run(run_id) for run_id in (1, 2, 3)]
    assert copy.raw(2).arrays.keys() == store.raw(2).arrays.keys()


def test_a_copy_taken_while_somebody_writes_is_whole(path: Path, tmp_path: Path) -> None:
    store = filled(path, 1)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.enqueue([make_spec(7)] * 3)  # in one transaction: a copy holds all three or none

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            backup(str(path), tmp_path / f"copy{number}.db")
            copy = Store(tmp_path / f"copy{number}.db")
            assert copy.health()["integrity"] == "ok"
            assert int(copy.health()["runs_queued"]) % 3 == 0
    finally:
        stop.set()
        writer.join()


def test_a_copy_comes_back_and_what_was_there_is_kept(path: Path, tmp_path: Path) -> None:
    store = filled(path)
    backup(str(path), tmp_path / "copy.db")
    store.delete_runs([1, 2])
    seen = store.revision()
    kept = restore(tmp_path / "copy.db", str(path))
    assert [record.id for record in store.runs()] == [3, 2, 1], "who has it open sees what came back"
    assert store.revision() != seen, "pages read anew"
    assert kept is not None
    assert [record.id for record in Store(kept).runs()] == [3]


def test_a_copy_can_come_back_where_nothing_is(path: Path, tmp_path: Path) -> None:
    filled(path)
    backup(str(path), tmp_path / "copy.db")
    assert restore(tmp_path / "copy.db", str(tmp_path / "elsewhere.db")) is None
    assert len(Store(tmp_path / "elsewhere.db").runs()) == 3


def test_nothing_is_restored_under_a_working_engine(path: Path, tmp_path: Path) -> None:
    store = filled(path)
    backup(str(path), tmp_path / "copy.db")
    store.beat("a", MACHINE, 4711)
    with pytest.raises(ContradictionError, match="process 4711"):
        restore(tmp_path / "copy.db", str(path))
    store.retire("a")
    restore(tmp_path / "copy.db", str(path))


def test_what_is_no_copy_is_refused_and_nothing_changes(path: Path, tmp_path: Path) -> None:
    store = filled(path)
    (tmp_path / "text.db").write_text("nothing of the kind")
    with contextless(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE things (name)")
    for name in ("text.db", "other.db"):
        with pytest.raises(SchemaError, match="no copy of a Subsecond database"):
            restore(tmp_path / name, str(path))
    with pytest.raises(StoreError, match="no file"):
        restore(tmp_path / "missing.db", str(path))
    with pytest.raises(InvalidValueError, match="the database itself"):
        backup(str(path), path)
    with pytest.raises(StoreError, match="pg_dump"):
        backup("postgresql+psycopg://host/db", tmp_path / "copy.db")
    assert len(store.runs()) == 3


def contextless(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path)


def test_a_damaged_copy_is_refused(path: Path, tmp_path: Path) -> None:
    filled(path).compact()
    shutil.copy(path, tmp_path / "copy.db")
    overwrite(tmp_path / "copy.db", b'"latency"')
    with pytest.raises(SchemaError, match="damaged"):
        restore(tmp_path / "copy.db", str(path))


def test_one_bad_page_costs_one_run(path: Path, tmp_path: Path) -> None:
    store = filled(path, 6)
    store.compact()
    store.close()
    whole = shutil.copy(path, tmp_path / "whole.db")
    overwrite(path, b'"latency"')
    done = repair(str(path))
    assert "damaged file is kept" in done[-1]
    found = {record.id: record for record in Store(path).runs()}
    assert 4 <= len(found) < 6
    expected = Store(whole)
    assert all(record == expected.run(run_id) for run_id, record in found.items())
    assert Store(path).health()["integrity"] == "ok"


def test_a_whole_database_is_left_alone(path: Path) -> None:
    filled(path).close()
    assert "nothing was changed" in repair(str(path))[0]


def test_broken_indexes_are_built_anew(path: Path) -> None:
    store = filled(path)
    store.compact()
    store.close()
    with contextless(path) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name='ix_runs_queue'").fetchone()
    content = bytearray(path.read_bytes())
    page = (root - 1) * 4096
    content[page + 3 : page + 5] = b"\x00\x00"  # an index that says it has no entries
    path.write_bytes(bytes(content))
    assert "indexes" in repair(str(path))[0]
    assert len(Store(path).runs()) == 3
