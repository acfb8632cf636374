"""Fixtures for every room: a clock that stands still and a store of its own for each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.backends import BACKENDS
from engine.capabilities import this_machine
from engine.store.store import Store
from tests.fakes import FakeClock


def believe_what_is_installed(cache: Path) -> None:
    """Write down in a cache that every installed runtime works here, since trying them all takes a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBSECOND_CACHE", str(cache))
        this_machine(lambda name: BACKENDS.get(name).capabilities())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without rows, made once because Alembic takes a tenth of a second."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    store = Store(path)
    store.compact()
    store.close()
    return path


@pytest.fixture
def database_path(empty_database: Path, tmp_path: Path) -> Path:
    """A fresh database file for this test alone."""
    return Path(shutil.copy(empty_database, tmp_path / "experiments.db"))


@pytest.fixture
def store(database_path: Path, clock: FakeClock) -> Iterator[Store]:
    opened = Store(database_path, now=clock.now)
    yield opened
    opened.close()
