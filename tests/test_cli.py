"""The ``subsecond`` command: documents, tables, exit codes, and one sentence for every bad request."""

import io
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine import cli, serving
from engine.analysis.export import csv_text
from engine.backends import BACKENDS
from engine.datasets import DATASETS
from engine.executors.base import Bell, Ending, Job
from engine.measure.environment import machine_id
from engine.metrics import METRICS
from engine.models import MODELS
from engine.results import Failure, RawData, Status
from engine.store.store import Store
from engine.studies import demo_specs
from engine.techniques import TECHNIQUES
from tests import tiny
from tests.conftest import believe_what_is_installed
from tests.fakes import FakeExecutor, FakeHandle, make_context, make_environment, make_raw, make_result, make_spec

FAILURE = Failure(stage="export", kind="ExportError", message="The operator cannot be expressed. Choose torch.")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """State, caches and working folder of a person who has nothing yet."""
    for name in ("state", "cache", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("SUBSECOND_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SUBSECOND_DB", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path / "work")
    machine_id.cache_clear()
    believe_what_is_installed(tmp_path / "cache")
    yield tmp_path
    machine_id.cache_clear()


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        return " ".join(self.err.split())


Command = Callable[..., Said]


@pytest.fixture
def subsecond(database_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, on a database of its own unless told otherwise."""

    def run(*arguments: str, db: Path | str | None = database_path) -> Said:
        place = ["--db", str(db)] if db else []
        with pytest.raises(SystemExit) as ended:
            cli.main([*arguments, *place])
        seen = capsys.readouterr()
        code = ended.value.code
        return Said(code if isinstance(code, int) else int(code is not None), seen.out, seen.err)

    return run


class EndingExecutor(FakeExecutor):
    """Ends every worker at once, as told."""

    def __init__(self, ending: Ending) -> None:
        super().__init__()
        self.ending = ending

    def submit(self, job: Job, bell: Bell) -> FakeHandle:
        handle = super().submit(job, bell)
        handle.emit("time")
        handle.end(self.ending)
        return handle


UseExecutor = Callable[..., EndingExecutor]


@pytest.fixture
def use_executor(monkeypatch: pytest.MonkeyPatch) -> UseExecutor:
    """Put a fake in the place of worker processes, and look at the database without delay."""

    def use(failure: Failure | None = None) -> EndingExecutor:
        ending = Ending(failure=failure) if failure else Ending(result=make_result(), raw=make_raw())
        executor = EndingExecutor(ending)
        monkeypatch.setattr(serving, "LocalExecutor", lambda *_, **__: executor)
        monkeypatch.setattr(serving, "_LOOK_S", 0.001)
        return executor

    return use


@pytest.fixture
def finished(store: Store) -> Store:
    """Runs of this machine: one done, one failed, one queued."""
    here = make_context(machine=machine_id())
    ids = store.enqueue([make_spec(seed=seed) for seed in range(3)])
    store.beat("s", machine_id(), 1)
    for _ in range(2):
        assert store.claim("s") is not None
    assert store.finish(ids[0], "s", make_result(context=here), RawData(arrays={}))
    assert store.fail(ids[1], "s", FAILURE)
    store.retire("s")
    return store


def test_run_prints_exactly_one_document(subsecond: Command, use_executor: UseExecutor) -> None:
    use_executor()
    said = subsecond("run", "fashion-mlp", "-t", "int8-dynamic:per_channel=false", "--backend", "onnxruntime", "--json")
    assert said.code == 0
    document = said.document
    assert (document["id"], document["status"]) == (1, "done")
    assert document["spec"]["techniques"] == [
        {"name": "int8-dynamic", "params": {"per_channel": False, "embeddings": True, "max_loss": 100.0}}
    ]
    assert document["latency"]["p50_ms"] == 2.0
    assert document["error"] is None


def test_run_without_json_prints_a_few_lines(subsecond: Command, use_executor: UseExecutor) -> None:
    use_executor()
    said = subsecond("run", "fashion-mlp")
    assert said.code == 0
    assert said.out.startswith("run 1: done, fashion-mlp")
    assert "speed-up 4.00x" in said.out


def test_a_run_that_failed_is_exit_code_1_and_still_one_document(subsecond: Command, use_executor: UseExecutor) -> None:
    use_executor(FAILURE)
    said = subsecond("run", "fashion-mlp", "--json")
    assert said.code == cli.EXIT_FAILED
    assert said.document["status"] == "failed"
    assert said.document["error"]["stage"] == "export"
    assert "failed at 'export': The operator" in subsecond("run", "fashion-mlp").out


def test_a_person_s_own_model_and_file_are_taken(subsecond: Command, use_executor: UseExecutor, home: Path) -> None:
    executor = use_executor()
    tiny.encoder_folder(home / "work" / "mine")
    tiny.reviews_csv(home / "work" / "own.csv")
    said = subsecond(
        "run", "mine", "--task", "text-classification", "--dataset", "own.csv:text=review,label=mood", "--json"
    )
    assert said.code == 0
    assert executor.last.job.spec.model == str(home / "work" / "mine")


def test_a_sweep_runs_what_this_machine_has_not_run_yet(
    subsecond: Command, use_executor: UseExecutor, home: Path
) -> None:
    executor = use_executor()
    study = home / "work" / "study.yaml"
    study.write_text("name: mine\nexperiments: [{model: fashion-mlp, seed: [0, 1]}]")
    said = subsecond("sweep", str(study), "--json")
    assert said.code == 0
    assert [run["study"] for run in said.document] == ["mine", "mine"]
    assert "mine: 2 runs to do, 0 done before" in said.sentence
    assert len(executor.handles) == 2


BAD_REQUESTS = [
    (["run", "fashion-mpl"], "There is no model 'fashion-mpl'. Did you mean 'fashion-mlp'?"),
    (["run", "fashion-mlp", "-t", "int8-dynamc"], "There is no technique 'int8-dynamc'. Did you mean 'int8-dynamic'?"),
    (["run", "fashion-mlp", "--backend", "onnx"], "There is no backend 'onnx'. Did you mean 'onnxruntime'?"),
    (["run", "fashion-mlp", "-t", "int8-dynamic:chanel=1"], "There is no parameter of technique int8-dynamic called"),
    (["run", "fashion-mlp", "-t", "prune-magnitude:sparsity=2"], "sparsity=2 is refused, input should be less than 1"),
    (
        ["run", "fashion-mlp", "-t", "prune-magnitude:sparsity"],
        "'sparsity' in 'prune-magnitude:sparsity' is no parameter",
    ),
    (["run", "fashion-mlp", "-t", "int8-dynamic", "-t", "int8-dynamic"], "is in the stack twice"),
    (["run", "fashion-mlp", "-t", "int8-dynamic", "-t", "prune-magnitude"], "Put int8-dynamic last"),
    (["run", "fashion-mlp", "--dataset", "movie-reviews"], "Choose fashion-mnist"),
    (["run", "fashion-mlp", "--dataset", "fashion-mnst"], "Did you mean 'fashion-mnist'"),
    (["run", "minilm-l6", "--dataset", "gone.csv:text=a,label=b"], "There is no data file"),
    (["run", "minilm-l6", "--dataset", "gone.csv"], "Write FILE.csv:text=COLUMN,label=COLUMN"),
    (["run", "minilm-l6", "--task", "image-classification"], "is a model for text-classification"),
    (["run", "fashion-mlp", "--backend", "torch:threads=9999"], "threads=9999 is refused"),
    (["run", "fashion-mlp", "--effort", "quik"], "quik"),
    (["run", "fashion-mlp", "--batch-size", "0"], "greater than or equal to 1"),
    (["sweep", "gone.yaml"], "There is no study file"),
    (["show", "99"], "There is no run '99'"),
    (["cancel", "99"], "There is no run '99'"),
    (["frontier", "--model", "fashion-mpl"], "Did you mean 'fashion-mlp'"),
    (["export", "--csv", "gone/runs.csv"], "'gone/runs.csv' cannot be written (No such file or directory)"),
    (["serve", "--host", "0.0.0.0"], "so it is served there with tokens or logins only"),
    (["serve", "--oidc", "gone.toml"], "The login file 'gone.toml' cannot be read"),
    (["serve", "--oidc", "gone.toml", "--tokens", "gone"], "Choose one of --tokens and --oidc"),
    (["demo", "--host", "example.com"], "reach the page on example.com"),
    (["serve", "--port", "0"], "greater than or equal to 1"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD_REQUESTS, ids=[" ".join(row) for row, _ in BAD_REQUESTS])
def test_a_bad_request_is_one_sentence_and_exit_code_2(
    subsecond: Command, arguments: list[str], sentence: str, database_path: Path
) -> None:
    said = subsecond(*arguments)
    assert said.code == cli.EXIT_REFUSED
    assert sentence in said.sentence
    assert "Traceback" not in said.err
    assert said.out == ""
    store = Store(database_path)
    assert store.summaries() == [], "something was queued all the same"
    store.close()


@pytest.mark.parametrize("arguments", [["list", "colours"], ["no-such-command"], ["run"]])
def test_a_wrong_command_line_is_exit_code_2(subsecond: Command, arguments: list[str]) -> None:
    assert subsecond(*arguments, db=None).code == cli.EXIT_REFUSED


def test_a_database_of_a_newer_release_is_refused_and_kept(subsecond: Command, database_path: Path) -> None:
    with sqlite3.connect(database_path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = database_path.read_bytes()
    for command in (["runs"], ["run", "fashion-mlp"], ["frontier", "--json"]):
        said = subsecond(*command)
        assert said.code == cli.EXIT_REFUSED
        assert "newer" in said.sentence
        assert said.out == ""
    assert database_path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_kept(subsecond: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("my notes, not a database at all " * 40)
    said = subsecond("runs", db=tmp_path / "notes.db")
    assert said.code == cli.EXIT_REFUSED
    assert "Traceback" not in said.err
    assert (tmp_path / "notes.db").read_text().startswith("my notes")


@pytest.mark.parametrize(
    ("what", "registry"),
    [
        ("models", MODELS),
        ("datasets", DATASETS),
        ("techniques", TECHNIQUES),
        ("backends", BACKENDS),
        ("metrics", METRICS),
    ],
)
def test_everything_that_can_be_chosen_is_listed(subsecond: Command, what: str, registry: Any) -> None:
    said = subsecond("list", what, "--json", db=None)
    assert said.code == 0
    assert [row["name"] for row in said.document] == registry.names()
    table = subsecond("list", what, db=None).out
    assert all(name in table for name in registry.names())


def test_runs_and_show(subsecond: Command, finished: Store) -> None:
    del finished
    assert [row["status"] for row in subsecond("runs", "--json").document] == ["done", "failed", "queued"]
    table = subsecond("runs").out
    assert "2.00 ms" in table
    assert "failed" in table
    assert subsecond("show", "1", "--json").document["speedup"]["value"] == 4.0
    assert "failed at 'export'" in subsecond("show", "2").out
    assert subsecond("show", "3", "--json").document["latency"] is None


def test_an_empty_database_is_an_empty_list(subsecond: Command) -> None:
    assert subsecond("runs", "--json").document == []
    assert subsecond("frontier", "--json").document == []
    assert "no finished runs yet" in subsecond("frontier").out


def test_cancel(subsecond: Command, finished: Store) -> None:
    said = subsecond("cancel", "3")
    assert (said.code, said.out) == (0, "run 3: cancelled\n")
    assert finished.run(3).status is Status.CANCELLED
    again = subsecond("cancel", "1")
    assert again.code == cli.EXIT_REFUSED
    assert finished.run(1).status is Status.DONE


def test_pause_and_resume(subsecond: Command, finished: Store) -> None:
    said = subsecond("pause")
    assert (said.code, said.out) == (0, "paused; what waits is begun after: subsecond resume\n")
    assert finished.control().paused
    assert subsecond("resume").code == 0
    assert not finished.control().paused


def test_the_frontier(subsecond: Command, finished: Store) -> None:
    del finished
    (context,) = subsecond("frontier", "--json").document
    assert context["context"]["dataset"] == "fashion-mnist"
    assert [point["run"] for point in context["points"]] == [1]
    assert "image-classification, fashion-mnist, cpu, 2 threads" in subsecond("frontier", "--model", "fashion-mlp").out
    assert subsecond("frontier", "--model", "minilm-l6", "--json").document == []


def test_the_csv_holds_every_run(subsecond: Command, finished: Store, tmp_path: Path) -> None:
    said = subsecond("export", "--csv", str(tmp_path / "runs.csv"))
    assert (said.code, said.out) == (0, "")
    assert "3 runs written" in said.sentence
    table = pd.read_csv(tmp_path / "runs.csv")
    assert table["status"].tolist() == ["queued", "failed", "done"]
    records = pd.read_csv(io.StringIO(csv_text(finished.runs())))
    pd.testing.assert_frame_equal(table[sorted(table)], records[sorted(records)])


def test_the_database_is_named_by_option_variable_or_default(
    subsecond: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert subsecond("runs", "--json", db=None).document == []
    assert (tmp_path / "work" / "experiments.db").is_file()
    monkeypatch.setenv("SUBSECOND_DB", str(tmp_path / "other.db"))
    assert subsecond("runs", "--json", db=None).code == 0
    assert (tmp_path / "other.db").is_file()
    assert subsecond("runs", "--json", db=tmp_path / "third.db").code == 0
    assert (tmp_path / "third.db").is_file()


def test_nothing_to_fetch_is_said(subsecond: Command) -> None:
    assert subsecond("fetch", "fashion-mlp", db=None).out == "fashion-mlp: trained here, nothing to fetch\n"


def test_weights_that_cannot_be_fetched_are_exit_code_1(subsecond: Command, home: Path) -> None:
    broken = tiny.encoder_folder(home / "broken")
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    said = subsecond("fetch", str(broken), db=None)
    assert said.code == cli.EXIT_FAILED
    assert "never loaded" in said.sentence


def test_the_headless_demo_runs_once_on_a_machine(
    subsecond: Command, use_executor: UseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = use_executor()
    result = make_result(context=make_context(machine=machine_id()), environment=make_environment(machine_id()))
    executor.ending = Ending(result=result, raw=make_raw())
    assert subsecond("demo", "--headless").code == 0
    assert len(executor.handles) == len(demo_specs())
    monkeypatch.setattr(serving, "LocalExecutor", lambda _: pytest.fail("the demo ran a second time"))
    assert subsecond("demo", "--headless").code == 0


def test_a_command_is_explained(subsecond: Command) -> None:
    said = subsecond("--help", db=None)
    assert said.code == 0
    for command in ("demo", "serve", "run", "sweep", "list", "runs", "show", "cancel", "frontier", "export", "fetch"):
        assert f"  {command} " in said.out


def test_no_thread_is_left_behind(subsecond: Command, use_executor: UseExecutor) -> None:
    before = threading.active_count()
    use_executor()
    subsecond("run", "fashion-mlp")
    assert threading.active_count() == before
