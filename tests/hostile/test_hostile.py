"""Every hostile input is refused in a sentence or does no harm; nothing is written elsewhere, no memory is taken."""

import csv
import io
import json
import resource
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text as sql  # noqa: TID251 - a row that no program of ours would write

from engine.analysis.export import csv_text
from engine.analysis.report import run_report
from engine.datasets import load_dataset
from engine.errors import SubsecondError
from engine.executors.outcome import read_ending
from engine.models import FAMILIES, find_model, gguf_file
from engine.models.prompts import chat, load_tokenizer
from engine.models.weights import fetch
from engine.models.weights_file import read_weights
from engine.resolve import resolve
from engine.results import RawData, Status, WorkerOutcome
from engine.spec import Choice
from engine.store.folders import RunFolder
from engine.store.store import Store
from engine.studies import read_study
from tests import tiny
from tests.dashboard.samples import sample_record
from tests.fakes import make_result, make_spec
from tests.hostile import corpus

WITNESS = Path("/tmp/subsecond-was-here")
MEMORY_BYTES = 3_000_000_000

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def contained() -> Iterator[None]:
    """Bound what one input may take, and see that none has done what it is made for."""
    WITNESS.unlink(missing_ok=True)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + MEMORY_BYTES, before[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert not WITNESS.exists(), "it ran code"


def _data_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def each(registry: dict[str, corpus.Writer]) -> Any:
    return pytest.mark.parametrize("write", [pytest.param(writer, id=name) for name, writer in registry.items()])


def survived(tmp_path: Path, write: corpus.Writer, read: Callable[[Path], Any], *, refused: bool = True) -> None:
    """Read a hostile input from a folder of its own, beside which nothing may appear.

    Args:
        refused: whether it has to be refused; otherwise it may also be read without harm.
    """
    place = tmp_path / "place"
    place.mkdir()
    path = write(place)
    before = sorted(tmp_path.rglob("*"))
    try:
        read(path)
    except SubsecondError as error:
        told = str(error)
        assert told.strip()
        assert len(told) < 20_000, "a sentence that never ends"
    else:
        assert not refused, "it was taken for good"
    assert [found for found in sorted(tmp_path.rglob("*")) if found not in before] == []


def test_the_corpus_is_large() -> None:
    assert sum(len(registry) for registry in corpus.ALL) >= 60


@each(corpus.STUDIES)
def test_studies(write: corpus.Writer, tmp_path: Path) -> None:
    survived(tmp_path, write, read_study, refused=False)


@each(corpus.TABLES)
def test_tables(write: corpus.Writer, tmp_path: Path) -> None:
    survived(tmp_path, write, lambda path: load_dataset(f"{path}:text=text,label=label"), refused=False)


@each(corpus.FOLDERS)
def test_folders_of_models(write: corpus.Writer, tmp_path: Path) -> None:
    def read(path: Path) -> None:
        resolve(model=str(path), dataset="movie-reviews", techniques=[Choice(name="prune-layers")])  # pages do this
        entry = find_model(str(path))
        FAMILIES.get(entry.family).create(entry.variant, fetch(entry, lambda text: None), tiny.text_dataset(), 0)

    survived(tmp_path, write, read)


@each(corpus.WEIGHTS)
def test_weights(write: corpus.Writer, tmp_path: Path) -> None:
    survived(tmp_path, write, read_weights)


@each(corpus.GGUFS)
def test_ggufs(write: corpus.Writer, tmp_path: Path) -> None:
    survived(tmp_path, write, lambda path: gguf_file.unpack(path.parent))


@each(corpus.TOKENIZERS)
def test_tokenizers(write: corpus.Writer, tmp_path: Path) -> None:
    survived(tmp_path, write, lambda path: load_tokenizer(path.parent))


@each(corpus.TEMPLATES)
def test_templates(write: corpus.Writer, tmp_path: Path) -> None:
    survived(tmp_path, write, lambda path: chat(path.parent, "Hello"))


@each(corpus.SPECS)
def test_specs_in_the_queue(write: corpus.Writer, tmp_path: Path, store: Store) -> None:
    bad, good = store.enqueue([make_spec(0), make_spec(1)])
    content = write(tmp_path).read_text("utf-8", errors="replace")
    with store._database.write() as connection:
        connection.execute(sql("UPDATE runs SET spec = :spec WHERE id = :id"), {"spec": content, "id": bad})
    claimed = store.claim("a")
    assert claimed is not None
    assert claimed.id == good, "one bad row never stops the next"
    assert store.statuses([bad]) == {bad: Status.FAILED}


@each(corpus.DATABASES)
def test_databases(write: corpus.Writer, tmp_path: Path) -> None:
    survived(tmp_path, write, lambda path: Store(path, migrate=False))


@each(corpus.RESULTS)
def test_results_of_workers(write: corpus.Writer, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "result.json").write_text(WorkerOutcome(result=make_result()).model_dump_json())
    ending = read_ending(RunFolder(tmp_path), 0, "score")
    assert ending.failure is not None or ending.raw is not None
    if ending.raw is not None:
        assert all(array.dtype != object for array in ending.raw.arrays.values())


MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", MARKUP, 'a\nb,c"d'])
def test_names_neither_run_in_a_spreadsheet_nor_on_a_page(name: str) -> None:
    record = sample_record()
    spec = record.spec.model_copy(update={"model": name, "dataset": name})
    hostile = record.model_copy(update={"spec": spec, "study": name})
    (row,) = csv.DictReader(io.StringIO(csv_text([hostile])))
    for cell in row.values():
        assert not cell or cell[0] not in "=+-@\t\r" or _is_number(cell), f"{cell!r} would be run"
    page = run_report(hostile, RawData(arrays={}))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert json.dumps(name) is not None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
