"""What may lie on disk: bounds from the environment, and both kinds of files held to them."""

import logging
import os
from pathlib import Path

import pytest

from engine.errors import InvalidValueError
from engine.stages import StageCache
from engine.store.store import Store
from engine.tidying import RUNS_VARIABLE, STAGES_VARIABLE, Quota, tidy
from tests.contracts.test_store_notes import add, furnish


def test_bounds_are_as_told_or_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUNS_VARIABLE, raising=False)
    monkeypatch.delenv(STAGES_VARIABLE, raising=False)
    assert Quota.of_environment() == Quota(runs_bytes=5 * 10**9, stages_bytes=40 * 10**9)
    monkeypatch.setenv(RUNS_VARIABLE, "0.5")
    monkeypatch.setenv(STAGES_VARIABLE, "2")
    assert Quota.of_environment() == Quota(runs_bytes=5 * 10**8, stages_bytes=2 * 10**9)


@pytest.mark.parametrize("variable", [RUNS_VARIABLE, STAGES_VARIABLE])
@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "inf"])
def test_a_bound_that_is_no_number_is_refused(variable: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(InvalidValueError, match=f"{variable}=.*positive number"):
        Quota.of_environment()


def test_both_kinds_of_files_are_held_to_their_bounds(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = StageCache(tmp_path / "stages")
    stage = cache.get("old-1", lambda folder: (folder / "file").touch())
    os.utime(stage.folder / ".complete", (0, 0))
    (stage.folder / "file").write_text("content")
    run_id = add(store, 0)
    furnish(store, run_id)
    with caplog.at_level(logging.INFO, "engine.tidying"):
        tidy(store, Quota(), cache)
        assert caplog.messages == []
        tidy(store, Quota(runs_bytes=0, stages_bytes=0), cache)
    assert not store.run_folder(run_id).path.exists()
    assert not stage.folder.exists()
    assert [RUNS_VARIABLE in caplog.messages[0], STAGES_VARIABLE in caplog.messages[1]] == [True, True]
