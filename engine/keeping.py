"""The commands that look after an installation: its health, its copies, its engine's switch, its runtimes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from engine import doctor as examination
from engine import present
from engine.backends import BACKENDS
from engine.errors import RequestError, UnavailableError
from engine.probe import probe
from engine.store import backup as copies
from engine.store.store import Store
from engine.units import format_bytes

EXIT_FAILED = 1
DEFAULT_DB = "experiments.db"

Db = Annotated[str, typer.Option("--db", envvar="SUBSECOND_DB", help="Database: a file, or an SQLAlchemy URL.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

PIPED_WIDTH = 200
"""Columns of a table that is not for a terminal, so that nothing is cut in a file."""

out = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True)

backends = typer.Typer(help="Runtimes that live in an environment of their own.", no_args_is_help=True)


@contextmanager
def opened(database: str) -> Iterator[Store]:
    """Open the store for one command."""
    store = Store(database)
    try:
        yield store
    finally:
        store.close()


def doctor(
    db: Db = DEFAULT_DB,
    json: Json = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild what can be rebuilt of a damaged database.")
    ] = False,
) -> None:
    """Show the machine, the runtimes and what is missing for each, and the database's health."""
    if repair:
        for sentence in copies.repair(db):
            out.print(sentence, highlight=False, markup=False, soft_wrap=True)
        return
    findings = examination.examine(db)
    if json:
        out.out(present.as_json(findings))
    else:
        out.print(examination.report(findings), highlight=False, markup=False)
    if not findings["healthy"]:
        raise typer.Exit(EXIT_FAILED)


def backup(
    file: Annotated[Path, typer.Argument(help="File to write; one that exists is replaced.")], db: Db = DEFAULT_DB
) -> None:
    """Write a consistent copy of the database, whatever works on it meanwhile."""
    size = copies.backup(db, file)
    out.print(f"{file}: {format_bytes(size)}", highlight=False, markup=False, soft_wrap=True)


def restore(file: Annotated[Path, typer.Argument(help="A copy that backup wrote.")], db: Db = DEFAULT_DB) -> None:
    """Bring a copy back; what was there before is kept beside it."""
    kept = copies.restore(file, db)
    out.print(f"{db} is what {file} was", highlight=False, markup=False, soft_wrap=True)
    if kept is not None:
        out.print(f"before that: {kept}", highlight=False, markup=False, soft_wrap=True)


def pause(db: Db = DEFAULT_DB) -> None:
    """Let the engine begin nothing new; what runs goes on to its end."""
    with opened(db) as store:
        store.pause()
    out.print("paused; what waits is begun after: subsecond resume", highlight=False)


def resume(db: Db = DEFAULT_DB) -> None:
    """Let a paused engine go on."""
    with opened(db) as store:
        store.resume()
    out.print("the engine takes up what waits", highlight=False)


@backends.command()
def install(name: Annotated[str, typer.Argument(help="Name of a backend.")], db: Db = DEFAULT_DB) -> None:
    """Make the environment of a backend whose packages cannot live beside ours; may fetch some hundred megabytes."""
    del db  # every command takes it, so that scripts may pass it everywhere
    backend = BACKENDS.get(name)
    if backend.environment is None:
        raise RequestError(f"{backend.title} needs no environment of its own. {backend.capabilities().reason}".strip())
    with err.status(f"making the environment of {name}") as status:
        backend.environment.make(status.update)
        status.update(f"trying {backend.title}")
        found = probe(name)
    if not found.available:
        raise UnavailableError(found.reason)
    out.print(f"{name}: {backend.title} {found.version} answers here; an engine that runs already has to be restarted")
