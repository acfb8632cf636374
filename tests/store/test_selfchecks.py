"""The table of self-checks under the store: how it came, what it keeps, and what it cannot read."""

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

import engine.store.migrations
from engine.errors import SchemaError
from engine.store import schema
from engine.store.database import Database
from engine.store.store import Store
from tests.fakes import MACHINE, make_raw, make_result, make_selfcheck, make_spec


def build_first_schema(path: Path) -> None:
    """Make a database as the release before self-checks left it."""
    database = Database(path)
    config = Config()
    config.set_main_option("script_location", str(Path(engine.store.migrations.__file__).parent))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    database.close()


def test_migrating_keeps_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "experiments.db"
    build_first_schema(path)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "HEAD", "0001")
        store = Store(path)
        (run_id,) = store.enqueue([make_spec()])
        store.beat("a", MACHINE, 1)
        store.claim("a")
        assert store.finish(run_id, "a", make_result(), make_raw())
        before = (store.runs(), store.summaries(), store.contexts(), store.revision())
        store.close()
    store = Store(path)
    assert store.health()["schema"] == schema.HEAD
    assert (store.runs(), store.summaries(), store.contexts(), store.revision()) == before
    assert store.raw(run_id).arrays.keys() == make_raw().arrays.keys()
    store.save_selfcheck(make_selfcheck())
    assert len(store.selfchecks()) == 1
    store.close()


def test_earlier_self_checks_are_kept(store: Store, database_path: Path) -> None:
    store.save_selfcheck(make_selfcheck(passed=False))
    store.save_selfcheck(make_selfcheck(passed=True))
    connection = sqlite3.connect(database_path)
    kept = connection.execute("SELECT machine, passed FROM selfchecks ORDER BY id").fetchall()
    connection.close()
    assert kept == [(MACHINE, 0), (MACHINE, 1)]


def test_one_of_a_newer_release_is_a_sentence(store: Store, database_path: Path) -> None:
    store.save_selfcheck(make_selfcheck())
    connection = sqlite3.connect(database_path)
    connection.execute("UPDATE selfchecks SET document = json_set(document, '$.seal', 1)")
    connection.commit()
    connection.close()
    with pytest.raises(SchemaError, match="at 'seal'"):
        store.selfchecks()
