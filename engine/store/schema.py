"""Which schema a database has, and how it gets this release's."""

import os
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from engine.errors import ReadOnlyError, SchemaError, StoreError
from engine.store.database import Database

HEAD = "0005"
"""The newest revision in ``migrations/versions``, repeated here so that opening need not import Alembic."""

_SQLITE_MAGIC = b"SQLite format 3\0"


def open_schema(database: Database, *, migrate: bool) -> None:
    """Bring the database to this release's schema, or say why that cannot be.

    Raises:
        SchemaError: if a newer release wrote it, it is not ours, or it is older and ``migrate`` is off.
        ReadOnlyError: if it would have to be changed and cannot be.
    """
    if database.path is not None:
        _check_file(database.path, migrate=migrate)
    revision = _current(database)
    if revision is not None and (not revision.isdigit() or int(revision) > int(HEAD)):
        raise SchemaError(
            f"{database.name} was written by a newer release (schema {revision}, this release knows {HEAD}); "
            "update Subsecond or name another database."
        )
    if migrate:
        database.use_wal()
    if revision == HEAD:
        return
    if not migrate:
        raise SchemaError(
            f"{database.name} has {'an older schema' if revision else 'no tables yet'}; "
            "start the engine once (subsecond serve) to bring it up to date."
        )
    with database.write() as connection:
        # Asked again under the write lock: another process may just have migrated.
        if _read_revision(connection, database.name) != HEAD:
            _upgrade(connection)


def _check_file(path: Path, *, migrate: bool) -> None:
    """Refuse what is plainly no database before SQLite touches it."""
    if path.is_dir():
        raise SchemaError(f"{path} is a folder, not a database; name a file.")
    try:
        if path.exists():
            with path.open("rb") as file:
                start = file.read(len(_SQLITE_MAGIC))
            if start and start != _SQLITE_MAGIC:
                raise SchemaError(f"{path} is not a Subsecond database; name another file.")
        elif migrate:
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            raise SchemaError(f"There is no database at {path}; start the engine once (subsecond serve) to create it.")
    except PermissionError as error:
        raise ReadOnlyError(f"{path} cannot be opened ({error.strerror}); check its permissions.") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be opened ({error.strerror}); check the path.") from None


def _current(database: Database) -> str | None:
    """Return the revision, reading in a way that works on a read-only disk too."""
    if database.path is not None and database.path.exists() and not _is_writable(database.path):
        database.reopen_read_only()
    with database.read() as connection:
        return _read_revision(connection, database.name)


def _is_writable(path: Path) -> bool:
    """Tell whether SQLite could write here: the file, and beside it its log."""
    effective = os.access in os.supports_effective_ids
    return all(os.access(place, os.W_OK, effective_ids=effective) for place in (path, path.parent))


def _read_revision(connection: Connection, name: str) -> str | None:
    """Return the schema's revision, ``None`` for an empty database."""
    inspector = inspect(connection)
    if inspector.has_table("alembic_version"):
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
    if inspector.get_table_names():
        raise SchemaError(f"{name} is a database of something else; name another file.")
    return None


def _upgrade(connection: Connection) -> None:
    # Alembic costs a tenth of a second to import; most openings find the schema up to date.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
