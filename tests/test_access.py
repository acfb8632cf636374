"""Who comes in: tokens, roles, tries; what a viewer may not do; what is noted of the others."""

import json
from pathlib import Path

import pytest

from engine.access import TRIES, WITHIN_S, Attempts, Person, Role, Tokens
from engine.errors import ForbiddenError, InvalidValueError
from engine.spec import Task
from engine.store import audit
from engine.store.notes import Subject
from engine.store.store import Store
from tests.contracts.test_store_notes import add
from tests.fakes import make_spec

SECRET, OTHER = "0123456789abcdef0123", "fedcba98765432100000"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# the team\nrunner ada {SECRET}\n\nviewer bob {OTHER}  # looks on\n")
    path.chmod(0o600)
    return path


def test_a_token_tells_who_it_is(file: Path) -> None:
    tokens = Tokens.read(file)
    assert tokens.person(SECRET) == Person("ada", Role.RUNNER)
    assert tokens.person(OTHER) == Person("bob", Role.VIEWER)
    for wrong in ("", SECRET[:-1], SECRET + "0", SECRET.upper(), "ada", "\ud800x".encode("utf-8", "replace").decode()):
        assert tokens.person(wrong) is None
    assert SECRET not in repr(vars(tokens))


@pytest.mark.parametrize(
    "line", ["ada", f"runner {SECRET}", f"owner ada {SECRET}", "runner ada short", f"runner ada b {SECRET}"]
)
def test_a_line_that_is_not_as_it_should_be_is_refused_by_its_number(file: Path, line: str) -> None:
    file.write_text(f"runner ada {SECRET}\n{line}\n")
    with pytest.raises(InvalidValueError, match="Line 2") as refused:
        Tokens.read(file)
    assert SECRET not in str(refused.value)


def test_a_file_that_others_can_read_or_that_names_nobody_is_refused(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    with pytest.raises(InvalidValueError, match="chmod 600"):
        Tokens.read(file)
    file.chmod(0o600)
    file.write_text("# nobody\n")
    with pytest.raises(InvalidValueError, match="names nobody"):
        Tokens.read(file)
    with pytest.raises(InvalidValueError, match="cannot be read"):
        Tokens.read(tmp_path / "missing")


def test_nobody_can_try_them_all() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(TRIES):
        assert attempts.wait_s("x") == 0
        attempts.failed("x")
        now[0] += 1
    assert attempts.wait_s("x") == pytest.approx(WITHIN_S - TRIES)
    assert attempts.wait_s("y") == 0
    now[0] = WITHIN_S + 0.5
    assert attempts.wait_s("x") == 0, "one of them is forgotten"
    attempts.failed("x")
    assert attempts.wait_s("x") > 0


def test_a_viewer_reads_everything_and_changes_nothing(store: Store) -> None:
    run_id = add(store, 0, task=Task.TEXT_GENERATION)
    looking = store.looking_on("Only look.")
    assert looking.run(run_id) == store.run(run_id)
    for change in (
        lambda: looking.enqueue([make_spec(1)]),
        lambda: looking.delete_runs([run_id]),
        lambda: looking.retry(run_id),
        lambda: looking.write_note(Subject.run(run_id), "x"),
        lambda: looking.ask(run_id, "Why?"),
    ):
        with pytest.raises(ForbiddenError, match=r"Only look\."):
            change()
    store.enqueue([make_spec(1)])


def test_what_people_do_is_noted_without_what_they_say(store: Store) -> None:
    ada = store.acting("ada")
    (run_id,) = ada.enqueue([make_spec(0, task=Task.TEXT_GENERATION)], "grid")
    ada.request_cancel(run_id)
    ada.write_note(Subject.run(run_id), "secret thoughts")
    ada.set_tags([Subject.run(run_id)], ["good"])
    done = add(store, 5, task=Task.TEXT_GENERATION)
    ada.ask(done, "a private question")
    entries = store.audit()
    mine = [entry for entry in entries if entry["who"] == "ada"]
    assert [entry["did"] for entry in reversed(mine)] == ["enqueue", "request_cancel", "write_note", "set_tags", "ask"]
    assert mine[-1] == {"time": mine[-1]["time"], "who": "ada", "did": "enqueue", "study": "grid", "result": [run_id]}
    text = json.dumps(entries)
    assert "secret" not in text
    assert "private" not in text
    assert all(entry["who"] for entry in entries)


def test_what_is_refused_is_not_noted(store: Store) -> None:
    before = len(store.audit())
    with pytest.raises(ForbiddenError):
        store.looking_on("Only look.").enqueue([make_spec(1)])
    assert len(store.audit()) == before


def test_many_ids_are_noted_by_their_number(store: Store) -> None:
    store.enqueue([make_spec(seed) for seed in range(30)])
    assert store.audit()[0]["result"]["count"] == 30


def test_a_log_that_has_grown_large_begins_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LARGEST_BYTES", 300)
    for seed in range(20):
        store.enqueue([make_spec(seed)])
    assert 1 <= len(store.audit()) < 10
    (store.runs_folder / audit.FILE).write_bytes(b"\xff\xfe not text")
    assert store.audit() == [] or store.audit()


def test_a_folder_that_cannot_be_written_stops_nobody(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.runs_folder.parent.mkdir(parents=True, exist_ok=True)
    (store.runs_folder).write_text("no folder")
    assert store.enqueue([make_spec(0)])
    assert "not noted" in caplog.text
