"""Databases of every earlier schema, as its own release left them: three recorded runs and a failed one each.

The copies are dumps of the database that shipped with each schema, cut down to few runs; the failed run was written by
the code of that time. A schema that is superseded gets its copy before the next migration is added.
"""

import csv
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

import engine.store.migrations
from engine import cli
from engine.analysis.frontier import default_x, frontier_info
from engine.results import RunResult, Status
from engine.store.notes import Subject
from engine.store.schema import HEAD
from engine.store.selection import RunFilter
from engine.store.store import Store
from tests.fakes import make_raw, make_result, make_spec

COPIES = sorted((Path(__file__).parent / "data").glob("schema-*.sql"))
BASELINE = 6
each_copy = pytest.mark.parametrize("copy", COPIES, ids=lambda path: path.stem)


def revision_of(copy: Path) -> str:
    return copy.stem.removeprefix("schema-")


def load(copy: Path, folder: Path) -> Path:
    """Make the database file that a copy was taken of."""
    path = folder / "experiments.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(copy.read_text("utf-8"))
    return path


def documents(path: Path) -> dict[int, tuple[object, ...]]:
    """Return what the database says about each run, by its id."""
    columns = "id, status, fingerprint, spec, result, error, context_key, study, finished_at"
    with closing(sqlite3.connect(path)) as connection:
        return {row[0]: row for row in connection.execute(f"SELECT {columns} FROM runs")}


def test_there_is_a_copy_of_every_earlier_schema() -> None:
    folder = Path(engine.store.migrations.__file__).parent
    released = {script.revision for script in ScriptDirectory(str(folder)).walk_revisions()}
    assert {revision_of(copy) for copy in COPIES} == released - {HEAD}


@each_copy
def test_it_is_brought_to_today_s_schema_and_loses_nothing(copy: Path, tmp_path: Path) -> None:
    path = load(copy, tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision_of(copy),)]
        arrays = connection.execute("SELECT run_id, name, dtype, shape, data FROM arrays").fetchall()
    before = documents(path)
    store = Store(path)
    health = store.health()
    store.close()
    assert (health["schema"], health["integrity"]) == (HEAD, "ok")
    assert documents(path) == before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT run_id, name, dtype, shape, data FROM arrays").fetchall() == arrays
    assert arrays


@each_copy
def test_its_runs_are_read_as_they_were_recorded(copy: Path, tmp_path: Path) -> None:
    path = load(copy, tmp_path)
    before = documents(path)
    store = Store(path)
    runs = store.runs()
    assert {run.id for run in runs} == set(before)
    done = [run for run in runs if run.status is Status.DONE]
    assert len(done) == 3
    for run in done:
        assert run.result is not None
        assert run.result == RunResult.model_validate_json(str(before[run.id][4]))
        assert run.spec.fingerprint == before[run.id][2]
        assert len(store.raw(run.id).arrays["predictions"]) == run.result.context.samples
    (failed,) = (run for run in runs if run.status is Status.FAILED)
    assert failed.error is not None
    assert failed.error.message.startswith("'./a-model-of-mine' is neither")
    if revision_of(copy) >= "0003":
        note = store.note(Subject.run(BASELINE))
        assert note is not None
        assert note.text == "The **baseline**"
        assert store.tags(Subject.run(BASELINE)) == ["reference"]
    store.close()


@each_copy
def test_its_runs_are_plotted_and_exported(copy: Path, tmp_path: Path) -> None:
    store = Store(load(copy, tmp_path))
    drawn = 0
    for context, count in store.contexts():
        rows = store.summaries(status=[Status.DONE], context_key=context.key)
        info = frontier_info(rows, default_x(context.scenario))
        assert len(rows) == count
        assert info.on_frontier()
        drawn += len(info.points)
    assert drawn == 3
    ids = {run.id for run in store.runs()}
    with store.snapshot() as seen:
        assert {row.id for row in seen.exported(RunFilter())} == ids
    store.close()


@each_copy
def test_the_command_exports_all_of_it(copy: Path, tmp_path: Path) -> None:
    path, table = load(copy, tmp_path), tmp_path / "runs.csv"
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", "--csv", str(table), "--db", str(path)])
    assert ended.value.code == 0
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {int(row["run"]) for row in rows} == set(documents(path))
    assert sum(float(row["latency_p50_ms"]) > 0 for row in rows if row["status"] == "done") == 3


@each_copy
def test_work_goes_on_in_it(copy: Path, tmp_path: Path) -> None:
    store = Store(load(copy, tmp_path))
    highest = max(run.id for run in store.runs())
    (run_id,) = store.enqueue([make_spec()])
    assert run_id > highest
    store.beat("a", "m", 1)
    assert store.claim("a") is not None
    assert store.finish(run_id, "a", make_result(), make_raw())
    assert store.run(run_id).result == make_result()
    assert not store.control().paused
    store.close()
