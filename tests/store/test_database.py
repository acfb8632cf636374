"""Transactions under load, the file on disk, and addresses."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.errors import InvalidValueError, StoreError
from engine.store.database import Database, parse_url
from engine.store.store import Store
from tests.fakes import make_raw, make_result, make_spec


def test_a_path_and_a_url_name_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    expected = tmp_path / "a ?#.db"
    assert Database("a ?#.db").path == Database(expected).path == expected
    assert Database(f"sqlite:///{tmp_path}/b.db").path == Database("sqlite:///b.db").path == tmp_path / "b.db"


def test_a_path_with_odd_characters_works(tmp_path: Path) -> None:
    path = tmp_path / "50% a?b#c é.db"
    Store(path).close()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_nothing_is_read_from_or_written_to_a_file_that_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "gone.db"
    with contextlib.closing(Store(path)) as store:
        moved = path.rename(tmp_path / "elsewhere.db")
        with pytest.raises(StoreError, match="is gone"):
            store.runs()
        with pytest.raises(StoreError, match="is gone"):
            store.enqueue([make_spec()])
        assert not store.is_replaced
        moved.rename(path)
        assert store.runs() == []
        assert not store.is_replaced


def test_a_number_that_no_database_can_hold_is_a_sentence(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path / "one.db")) as store, pytest.raises(InvalidValueError, match="larger than"):
        store.run(10**30)


def test_a_file_in_the_place_of_another_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "one.db"
    with contextlib.closing(Store(path)) as store:
        Store(tmp_path / "two.db").close()
        assert not store.is_replaced
        (tmp_path / "two.db").replace(path)
        assert store.is_replaced


def test_another_database_is_kept_as_it_is() -> None:
    assert parse_url("postgresql+psycopg://me:secret@db/subsecond").host == "db"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "://x"])
def test_an_unusable_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_url(url)


def test_a_missing_driver_is_named_without_the_password() -> None:
    with pytest.raises(StoreError, match="driver") as caught:
        Database("nosuchdb://me:secret@db/subsecond")
    assert "secret" not in str(caught.value)


_WRITING_SERVICE = """
import sys
from engine.store.store import Store
from tests.fakes import MACHINE, make_raw, make_result
store = Store(sys.argv[1])
store.beat("a", MACHINE, 1)
while (run := store.claim("a")) is not None:
    assert store.finish(run.id, "a", make_result(), make_raw())
store.close()
"""


def test_fifty_readers_and_a_writing_service_never_meet_a_lock(database_path: Path) -> None:
    store = Store(database_path)
    store.enqueue([make_spec(seed) for seed in range(25)])
    command = [sys.executable, "-c", _WRITING_SERVICE, str(database_path)]
    service = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE)

    def read() -> int:
        reads = 0
        while service.poll() is None or not reads:
            store.summaries()
            store.revision()
            reads += 1
        return reads

    with ThreadPoolExecutor(50) as threads:
        readers = [threads.submit(read) for _ in range(50)]
        assert service.communicate() == (None, b"")
        assert sum(reader.result() for reader in readers) > 50
    assert store.health()["runs_done"] == "25"
    store.close()


def test_writers_of_several_stores_wait_for_each_other(database_path: Path) -> None:
    """Eight stores open a shipped file, switch it to WAL and write at the same moment."""
    together = threading.Barrier(8)

    def write(seed: int) -> None:
        together.wait()
        store = Store(database_path)
        for _ in range(10):
            store.enqueue([make_spec(seed)])
        store.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    store = Store(database_path)
    assert store.health()["runs_queued"] == "80"
    assert store.health()["journal"] == "wal"
    store.close()


def test_a_failed_transaction_changes_nothing_and_lets_others_write(store: Store) -> None:
    ids = store.enqueue([make_spec()])
    with pytest.raises(ZeroDivisionError), store._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM runs")
        raise ZeroDivisionError
    assert [run.id for run in store.runs()] == ids
    store.enqueue([make_spec(1)])


def test_the_database_itself_refuses_to_change_a_finished_run(store: Store, database_path: Path) -> None:
    store.enqueue([make_spec()])
    store.claim("a")
    store.finish(1, "a", make_result(), make_raw())
    connection = sqlite3.connect(database_path)
    for change in ("UPDATE runs SET status = 'queued'", "UPDATE metrics SET value = 0", "UPDATE arrays SET data = ''"):
        with pytest.raises(sqlite3.IntegrityError, match="a finished run is immutable"):
            connection.execute(change)
    connection.close()


def test_a_compacted_database_is_one_file_and_goes_on_working(store: Store, database_path: Path) -> None:
    store.enqueue([make_spec(seed) for seed in range(50)])
    store.compact()
    assert [file.name for file in database_path.parent.iterdir() if file.is_file()] == [database_path.name]
    assert store.health()["journal"] == "delete"
    store.enqueue([make_spec(99)])
    assert len(store.summaries()) == 51


def test_a_database_in_use_is_not_compacted(store: Store, database_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.database._BUSY_S", 0.01)
    store.enqueue([make_spec()])
    other = sqlite3.connect(database_path)
    other.execute("SELECT * FROM runs")
    with pytest.raises(StoreError):
        store.compact()
    other.close()


def test_a_lock_that_never_ends_is_reported(database_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.database._BUSY_S", 0.01)
    store = Store(database_path)
    holder = sqlite3.connect(database_path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="is in use"):
        store.enqueue([make_spec()])
    holder.execute("COMMIT")
    assert store.enqueue([make_spec()])
    holder.close()
    store.close()
