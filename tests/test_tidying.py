"""What may lie on disk: bounds from the environment, and both kinds of files held to them."""

import logging
import os
from functools import partial
from pathlib import Path

import pytest

from engine.errors import InvalidValueError
from engine.service import Service
from engine.stages import StageCache
from engine.store.store import Store
from engine.tidying import RUNS_VARIABLE, STAGES_VARIABLE, Quota, tidy
from tests.contracts.test_store_notes import add, furnish
from tests.fakes import MACHINE, FakeClock, FakeExecutor, make_result, make_spec


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


def test_a_service_leaves_what_a_run_of_another_one_needs(
    store: Store, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may take days where ``SUBSECOND_RUN_HOURS`` allows it; it reads its stages to its end."""
    cache = StageCache(tmp_path / "stages")
    (theirs,) = store.enqueue([make_spec()])
    store.beat("other", MACHINE, 1)
    assert store.claim("other") is not None
    began = clock.now().timestamp()
    for key, used in (("before-1", began - 1), ("needed-1", began + 1)):
        cache.get(key, lambda folder: (folder / "file").write_text("content"))
        os.utime(tmp_path / "stages" / key / ".complete", (used, used))
    furnish(store, theirs)
    clock.advance(3 * 24 * 3600)
    monkeypatch.setattr("engine.tidying.time.time", lambda: clock.now().timestamp())
    store.beat("other", MACHINE, 1)
    tidily = partial(tidy, store, Quota(runs_bytes=0, stages_bytes=0), cache)
    service = Service(store, FakeExecutor(), clock, machine_id=MACHINE, tidy=tidily)
    service.run(until_idle=True)
    assert cache.find("before-1") is None
    assert (tmp_path / "stages" / "needed-1" / "file").read_text() == "content"
    assert store.run_folder(theirs).path.exists()
    assert store.finish(theirs, "other", make_result(), None)
    assert store.busy_since() is None
    tidily()
    assert cache.find("needed-1") is None
    assert not store.run_folder(theirs).path.exists()
