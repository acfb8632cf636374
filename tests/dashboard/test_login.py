"""The page where others can reach it: a token first, and a viewer's hands are bound."""

from pathlib import Path

import pytest

from engine.access import TOKENS_VARIABLE
from engine.store.store import Store
from tests.dashboard.conftest import OpenPage, words
from tests.dashboard.samples import SERVICE
from tests.fakes import MACHINE

SECRET, OTHER = "0123456789abcdef0123", "fedcba98765432100000"


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"runner ada {SECRET}\nviewer bob {OTHER}\n")
    path.chmod(0o600)
    monkeypatch.setenv(TOKENS_VARIABLE, str(path))


@pytest.mark.usefixtures("tokens")
def test_nothing_is_shown_without_a_token(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "run", run="11")
    assert "Who are you?" in words(app)
    assert not app.metric
    app.text_input[0].set_value("not the token at all")
    app = app.button[0].click().run()
    assert "Nobody has this token." in words(app)
    assert not app.metric
    assert [(entry["did"], entry["way"]) for entry in filled.audit()] == [("turned_away", "token")]


@pytest.mark.usefixtures("tokens")
def test_a_viewer_sees_everything_and_changes_nothing(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "run", run="11")
    app.text_input[0].set_value(OTHER)
    app = app.button[0].click().run()
    assert {metric.label for metric in app.metric} >= {"Speed-up", "Accuracy"}
    assert [(entry["who"], entry["did"]) for entry in filled.audit()] == [("bob", "signed_in")]
    (save,) = (button for button in app.button if button.label == "Save")
    app = save.click().run()
    assert "You look on as a viewer" in words(app)


@pytest.mark.usefixtures("tokens")
def test_a_viewer_may_not_pause_the_engine(filled: Store, filled_path: Path, open_page: OpenPage) -> None:
    filled.beat(SERVICE, MACHINE, 1)
    app = open_page(filled_path, "system")
    app.text_input[0].set_value(OTHER)
    app = app.button[0].click().run()
    app = app.button(key="system_pause").click().run()
    assert "You look on as a viewer" in words(app)
    assert not filled.control().paused


@pytest.mark.usefixtures("tokens")
def test_too_many_wrong_tokens_have_to_wait(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "run", run="11")
    for number in range(6):
        app.text_input[0].set_value(f"wrong token {number}")
        app = app.button[0].click().run()
    assert "Too many wrong tokens" in words(app)
    app.text_input[0].set_value(SECRET)
    app = app.button[0].click().run()
    assert not app.metric, "not even with the right one"
