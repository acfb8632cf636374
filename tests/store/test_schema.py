"""Opening: what is created, what is migrated, what is refused with which sentence."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import engine.store.migrations
from engine.errors import ReadOnlyError, SchemaError, StoreError
from engine.store.database import Database
from engine.store.schema import HEAD
from engine.store.store import Store
from engine.store.tables import metadata
from tests.fakes import make_spec

NOBODY = 65534


def set_revision(path: Path, revision: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
    connection.commit()
    connection.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Run as a user whom permissions bind; root may write everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only_database(open_folder: Path) -> Path:
    """A database with one run, left in WAL mode without its log, in a folder nobody may write."""
    path = open_folder / "experiments.db"
    store = Store(path)
    store.enqueue([make_spec()])
    store.close()
    path.chmod(0o444)
    open_folder.chmod(0o555)
    return path


def test_the_newest_migration_is_the_one_that_opening_looks_for() -> None:
    folder = Path(engine.store.migrations.__file__).parent
    assert ScriptDirectory(str(folder)).get_current_head() == HEAD


def test_migrations_build_the_tables_as_declared(database_path: Path) -> None:
    database = Database(database_path)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_a_missing_file_and_its_folder_are_created(tmp_path: Path) -> None:
    path = tmp_path / "new" / "experiments.db"
    store = Store(path)
    assert store.summaries() == []
    store.close()
    assert path.exists()


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "experiments.db"
    path.touch()
    store = Store(path)
    assert store.health()["schema"] == HEAD
    store.close()


def test_only_reading_an_up_to_date_database_neither_loads_alembic_nor_changes_the_file(database_path: Path) -> None:
    before = database_path.read_bytes()
    code = (
        "import sys; from engine.store.store import Store\n"
        "store = Store(sys.argv[1], migrate=False); store.summaries(); store.close()\n"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(database_path)], check=False).returncode == 0
    assert database_path.read_bytes() == before


def test_two_processes_may_create_the_same_database(tmp_path: Path) -> None:
    code = "import sys; from engine.store.store import Store; Store(sys.argv[1]).close()"
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "experiments.db")]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == [b"", b""]


def test_a_newer_schema_is_refused(database_path: Path) -> None:
    set_revision(database_path, "0999")
    with pytest.raises(SchemaError, match=r"written by a newer release \(schema 0999"):
        Store(database_path)


def test_an_unknown_revision_is_refused(database_path: Path) -> None:
    set_revision(database_path, "ae10b4f")
    with pytest.raises(SchemaError, match="newer release"):
        Store(database_path)


def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database, but somebody's notes")
    with pytest.raises(SchemaError, match="is not a Subsecond database"):
        Store(path)
    assert path.read_text().startswith("not a database")


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SchemaError, match="something else"):
        Store(path)
    assert path.read_bytes() == before


def test_a_damaged_database_is_refused(database_path: Path) -> None:
    content = database_path.read_bytes()
    database_path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(SchemaError, match="damaged"):
        Store(database_path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="is a folder"):
        Store(tmp_path)


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "file" / "experiments.db")


def test_without_migration_nothing_is_created(tmp_path: Path) -> None:
    path = tmp_path / "experiments.db"
    with pytest.raises(SchemaError, match="There is no database"):
        Store(path, migrate=False)
    assert not path.exists()
    path.touch()
    with pytest.raises(SchemaError, match="no tables yet"):
        Store(path, migrate=False)


@pytest.mark.usefixtures("unprivileged")
class TestReadOnly:
    def test_a_wal_database_on_a_read_only_disk_is_read(self, read_only_database: Path) -> None:
        store = Store(read_only_database)
        assert len(store.summaries()) == 1
        assert store.health()["access"] == "read only"
        store.close()

    def test_writing_it_is_refused_with_a_sentence(self, read_only_database: Path) -> None:
        store = Store(read_only_database)
        with pytest.raises(ReadOnlyError, match="can only be read here"):
            store.enqueue([make_spec()])
        store.close()

    def test_a_new_database_on_a_read_only_disk_is_refused(self, read_only_database: Path) -> None:
        with pytest.raises(StoreError, match="cannot be opened"):
            Store(read_only_database.with_name("new.db"))

    def test_an_unreadable_database_is_refused(self, read_only_database: Path) -> None:
        with pytest.raises(ReadOnlyError, match="check its permissions"):
            Store(read_only_database.parent / "sub" / "new.db")
