import sqlite3
from pathlib import Path

import pytest

from engine.errors import ReadOnlyError
from engine.store.notes import LONGEST_NOTE, Subject
from engine.store.store import Store
from tests.dashboard.conftest import OpenPage, words
from tests.dashboard.samples import INT8, SERVICE, sample_spec

PAGES = ["", "new_run", "runs", "run", "compare", "system"]


@pytest.mark.parametrize("page", PAGES)
def test_a_file_that_is_no_database_is_a_sentence_on_every_page(tmp_path: Path, open_page: OpenPage, page: str) -> None:
    path = tmp_path / "notes.db"
    path.write_text("These are my notes, not a database; long enough to look like a file.", "utf-8")
    app = open_page(path, page)
    assert not app.exception
    assert len(app.error) == 1
    assert path.read_text("utf-8").startswith("These are my notes")


def test_a_newer_database_is_a_sentence_that_says_to_update(filled_path: Path, open_page: OpenPage) -> None:
    connection = sqlite3.connect(filled_path)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    app = open_page(filled_path)
    assert not app.exception
    assert "Update Subsecond" in words(app)


def test_a_missing_folder_is_a_sentence(tmp_path: Path, open_page: OpenPage) -> None:
    app = open_page(tmp_path / "nowhere" / "experiments.db")
    assert not app.exception
    assert len(app.error) + len(app.header) > 0


def test_a_database_that_cannot_be_written_refuses_a_run_with_a_sentence(
    filled_path: Path, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(filled_path, "new_run")

    def refuse(*_: object, **__: object) -> list[int]:
        raise ReadOnlyError("The database cannot be written.")

    monkeypatch.setattr(Store, "enqueue", refuse)
    app.button(key="new_run").click().run()
    assert not app.exception
    assert "The database cannot be written." in words(app)
    assert "Nothing was changed." in words(app)


VIEWS: tuple[tuple[str, dict[str, str]], ...] = (
    *(("", {}), ("new_run", {}), ("runs", {}), ("run", {"run": "11"}), ("compare", {"runs": "6,11"}), ("system", {})),
)


def remove(database: Path) -> None:
    """Take a database away with its side files, as a person would."""
    for name in (database, *database.parent.glob(f"{database.name}-*")):
        name.unlink(missing_ok=True)


@pytest.mark.parametrize(("page", "query"), VIEWS)
def test_a_database_that_vanishes_under_the_page_is_a_sentence(
    filled_path: Path, open_page: OpenPage, page: str, query: dict[str, str]
) -> None:
    app = open_page(filled_path, page, **query)
    kept = filled_path.read_bytes()
    remove(filled_path)
    app.run()
    assert not app.exception
    assert [("is gone" in error.value, "put it back" in error.value) for error in app.error] == [(True, True)]
    assert "Reload this page once it is back." in words(app)
    assert not filled_path.exists(), "no empty one takes its place"
    filled_path.write_bytes(kept)
    app.run()
    assert "is gone" not in words(app)


def test_a_run_is_not_queued_in_a_database_that_is_gone(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "new_run")
    remove(filled_path)
    app.button(key="new_run").click().run()
    assert not app.exception
    assert "is gone" in words(app)
    assert "is queued" not in words(app)


@pytest.mark.parametrize(("page", "query"), VIEWS)
def test_a_database_that_gives_way_to_something_else_is_a_sentence(
    filled_path: Path, open_page: OpenPage, page: str, query: dict[str, str]
) -> None:
    app = open_page(filled_path, page, **query)
    remove(filled_path)
    filled_path.write_text("These are my notes, not a database; long enough to look like a file.", "utf-8")
    app.run()
    assert not app.exception
    assert len(app.error) == 1
    assert "not a Subsecond database" in words(app)


def test_another_database_in_its_place_is_shown(filled_path: Path, database_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path)
    assert len(app.dataframe[0].value) == 10
    database_path.replace(filled_path)
    for name in filled_path.parent.glob("filled.db-*"):
        name.unlink()
    app.run()
    assert not app.exception
    assert "Nothing has been measured here yet" in words(app)


HUGE = "9" * 30
ODD_ADDRESSES: tuple[tuple[str, dict[str, str], str], ...] = (
    ("run", {"run": HUGE}, "This number is larger than any that is kept here"),
    ("run", {"run": "0"}, "There is no run '0'"),
    ("run", {"run": "-1"}, "'-1' is not the number of a run"),
    ("compare", {"runs": f"11,{HUGE}"}, "This number is larger than any that is kept here"),
    ("compare", {"runs": "11,11"}, "Two to six runs can be compared, not 1."),
    ("compare", {"runs": ",,"}, "Tick two to six runs"),
    ("runs", {"runs_page": "999"}, "Tick rows to open"),
    ("runs", {"runs_table": HUGE, "runs_words": "<b>%_'\"", "runs_tags": "x|y"}, "No run has ended this way."),
    ("system", {"system_run": HUGE, "system_level": "x", "system_words": "<b>["}, "What it can run"),
    ("new_run", {"new_model": "<b>", "new_mode": "x", "new_effort": "y", "new_strength": "z"}, "What will happen"),
    ("new_run", {"new_mode": "expert", "new_stack": "int8-dynamic:per_channel=maybe+x:(=,"}, "What will happen"),
    ("", {"frontier_known": HUGE, "frontier_color": "x", "frontier_answers": "?"}, "6.38x as fast as the baseline"),
    ("", {"frontier_limit_latency_p50_ms": "nan", "frontier_drop_accuracy": "-3"}, "6.38x as fast as the baseline"),
    ("", {"language": "xx_YY"}, "6.38x as fast as the baseline"),
)


@pytest.mark.parametrize(("page", "query", "said"), ODD_ADDRESSES)
def test_an_odd_address_is_a_sentence_or_the_usual_view(
    filled_path: Path, open_page: OpenPage, page: str, query: dict[str, str], said: str
) -> None:
    app = open_page(filled_path, page, **query)
    assert not app.exception
    assert len(app.title) == 1
    assert said in words(app)


def test_a_note_of_ten_thousand_characters_is_kept_and_the_box_takes_no_more(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    app = open_page(filled_path, "run", run="11")
    box = app.text_area(key="run_run_11_note")
    assert box.max_chars == LONGEST_NOTE == 10_000
    box.set_value("x" * LONGEST_NOTE)
    app.button(key="run_run_11_save").click().run()
    assert not app.exception
    assert "x" * LONGEST_NOTE in words(app)
    note = filled.note(Subject.run(11))
    assert note is not None
    assert note.text == "x" * LONGEST_NOTE


@pytest.mark.parametrize("page", ["", "new_run", "runs", "run", "compare", "system"])
def test_an_engine_that_is_not_running_is_said_where_somebody_waits_for_it(
    filled: Store, filled_path: Path, open_page: OpenPage, page: str
) -> None:
    (run_id,) = filled.enqueue([sample_spec((INT8,), seed=9)])
    filled.retire(SERVICE)
    app = open_page(filled_path, page, **({"run": str(run_id)} if page == "run" else {}))
    assert not app.exception
    assert "No engine is running" in words(app)
    assert "subsecond serve" in words(app)
