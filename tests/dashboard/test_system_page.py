from datetime import UTC, datetime
from pathlib import Path

from engine.store.store import Store
from tests.dashboard.conftest import OpenPage, words
from tests.dashboard.samples import INT8, SERVICE, sample_spec
from tests.fakes import MACHINE, make_selfcheck

MOMENT = datetime(2026, 11, 22, 16, 20, tzinfo=UTC)


def test_a_machine_says_what_it_is_and_what_it_can_run(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "system")
    assert not app.exception
    assert "Sample CPU, 2 cores" in words(app)
    what_it_is, what_it_runs = (table.value["Value"] for table in app.table)
    assert what_it_is["Cores"] == "2"
    assert what_it_is["Instruction sets"].replace("\\", "") == "avx2 avx512_vnni"
    assert what_it_runs["torch"].replace("\\", "") == "2.13.0 on cpu"


def test_an_unchecked_machine_says_how_to_check_it(filled_path: Path, open_page: OpenPage) -> None:
    shown = words(open_page(filled_path, "system"))
    assert "`subsecond selfcheck` proves the instrument" in shown
    assert "about two minutes" in shown


def test_the_last_self_check_is_shown_check_by_check(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    filled.save_selfcheck(make_selfcheck(MACHINE, MOMENT, passed=False))
    app = open_page(filled_path, "system")
    assert not app.exception
    assert "failed" in words(app)
    assert "22 Nov 2026, 16:20 UTC · fashion-mlp on onnxruntime, quick effort" in words(app)
    table = app.table[2].value
    assert list(table.columns) == ["Check", "Expected", "Seen", "Passed"]
    assert ["yes" in mark for mark in table["Passed"]] == [True, False]
    assert table["Seen"][1].replace("\\", "") == "1.40x"


def test_a_machine_known_from_its_check_alone_is_shown(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    filled.save_selfcheck(make_selfcheck("m-elsewhere", MOMENT))
    shown = words(open_page(filled_path, "system"))
    assert "No engine has described itself there yet." in shown
    assert "passed" in shown


def test_without_any_machine_the_way_to_one_is_said(database_path: Path, open_page: OpenPage) -> None:
    app = open_page(database_path, "system")
    assert not app.exception
    assert "No engine has described its machine yet." in words(app)
    assert "subsecond serve" in words(app)


def test_signs_of_life_and_the_queue_are_shown(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    filled.beat(SERVICE, MACHINE, 1)
    filled.enqueue([sample_spec((INT8,), seed=5)])
    app = open_page(filled_path, "system")
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown == {"Engines": "1", "Running": "0", "Waiting": "1", "Done": "15", "Failed": "1"}
    assert f"Engine 1 on {MACHINE}: last sign of life" in words(app)
    assert len(app.get("plotly_chart")) == 2


def test_the_engine_is_paused_and_let_go_on(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    filled.beat(SERVICE, MACHINE, 1)
    app = open_page(filled_path, "system")
    assert "Paused by" not in words(app)
    app = app.button(key="system_pause").click().run()
    assert filled.control().paused
    assert "Paused by page since" in words(app)
    assert "what runs goes on to its end" in words(app)
    app = app.button(key="system_resume").click().run()
    assert not filled.control().paused
    assert "Paused by" not in words(app)


def test_without_an_engine_there_is_nothing_to_pause_but_a_way_to_start_one(
    filled: Store, filled_path: Path, open_page: OpenPage
) -> None:
    filled.retire(SERVICE)
    app = open_page(filled_path, "system")
    assert "subsecond serve" in words(app)
    assert not [button for button in app.button if button.key == "system_pause"]
    filled.pause()
    app = open_page(filled_path, "system")
    assert "Paused by" in words(app)
    assert app.button(key="system_resume").label == "Let the engine go on"


def test_a_paused_engine_is_said_where_runs_wait(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    filled.beat(SERVICE, MACHINE, 1)
    filled.enqueue([sample_spec((INT8,), seed=5)])
    for page in ("runs", "new_run"):
        assert "The engine is paused" not in words(open_page(filled_path, page))
    filled.pause()
    for page in ("runs", "new_run"):
        app = open_page(filled_path, page)
        assert not app.exception
        assert "The engine is paused, so runs wait." in words(app)


def test_the_log_of_a_run_is_filtered_by_the_address(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    log = filled.run_folder(16).log
    log.parent.mkdir(parents=True)
    log.write_text("loading\nWARNING: slow <b>disk</b>\nExportError: no\nwarning: other\n", "utf-8")
    app = open_page(filled_path, "system", system_run="16", system_level="warnings", system_words="DISK")
    assert not app.exception
    assert [block.value for block in app.code] == ["WARNING: slow <b>disk</b>"]
    app = open_page(filled_path, "system", system_run="16", system_words="nothing like it")
    assert "No line of this log is like that." in words(app)
