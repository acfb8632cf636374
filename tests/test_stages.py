"""The stage cache: built once, whole or not at all."""

import threading
from pathlib import Path

import pytest

from engine import stages, units
from engine.errors import TrainingError
from engine.stages import StageCache, code_version, stage_key

KEY = stage_key("tuned", {"weights": "abc"})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "stages"


@pytest.fixture
def cache(root: Path) -> StageCache:
    return StageCache(root)


def write(folder: Path) -> None:
    (folder / "file").write_text("content")


def contents(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.suffix != ".lock"}


def test_a_stage_is_built_once(cache: StageCache, root: Path) -> None:
    first = cache.get(KEY, write)
    second = cache.get(KEY, lambda _: pytest.fail("it was built twice"))
    assert (first.key, first.folder, first.cached) == (KEY, root / KEY, False)
    assert (second.key, second.folder, second.cached) == (KEY, root / KEY, True)
    assert (second.folder / "file").read_text() == "content"


def test_what_is_not_there_is_not_found(cache: StageCache) -> None:
    assert cache.find(KEY) is None
    cache.get(KEY, write)
    found = cache.find(KEY)
    assert found is not None
    assert found.cached


def test_two_that_want_a_stage_at_once_build_it_once(root: Path) -> None:
    entered, release, builds = threading.Event(), threading.Event(), []

    def slow(folder: Path) -> None:
        builds.append(folder)
        entered.set()
        assert release.wait(30)
        write(folder)

    found = []
    threads = [threading.Thread(target=lambda: found.append(StageCache(root).get(KEY, slow))) for _ in range(2)]
    threads[0].start()
    assert entered.wait(30)
    threads[1].start()
    release.set()
    for thread in threads:
        thread.join(30)
    assert len(builds) == 1
    assert sorted(stage.cached for stage in found) == [False, True]


def test_a_failure_goes_through_and_leaves_nothing(cache: StageCache, root: Path) -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise TrainingError("diverged")

    with pytest.raises(TrainingError, match="diverged"):
        cache.get(KEY, fail)
    assert contents(root) == set()
    assert not cache.get(KEY, write).cached


def test_an_interruption_leaves_nothing_either(cache: StageCache, root: Path) -> None:
    def interrupted(folder: Path) -> None:
        write(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get(KEY, interrupted)
    assert contents(root) == set()


def test_a_folder_that_was_never_completed_is_built_again(cache: StageCache, root: Path) -> None:
    stage = cache.get(KEY, write)
    (stage.folder / ".complete").unlink()
    (stage.folder / "file").write_text("half")
    (stage.folder / "left over").touch()
    assert cache.find(KEY) is None
    again = cache.get(KEY, write)
    assert not again.cached
    assert (again.folder / "file").read_text() == "content"
    assert contents(root) == {KEY}
    assert not (again.folder / "left over").exists()


def test_it_lies_in_the_cache_folder_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path))
    assert StageCache().get(KEY, write).folder == tmp_path / "stages" / KEY


def test_a_key_follows_kind_and_inputs_and_not_their_order() -> None:
    assert stage_key("a", {"x": 1, "y": 2}) == stage_key("a", {"y": 2, "x": 1})
    keys = {stage_key("a", {"x": 1}), stage_key("b", {"x": 1}), stage_key("a", {"x": 2}), stage_key("a", {"y": 1})}
    assert len(keys) == 4
    assert stage_key("a", {"x": 1}).startswith("a-")


def test_the_code_version_follows_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_version(stages) == code_version(stage_key) == code_version(StageCache(tmp_path))
    assert code_version(stages) != code_version(units)
    assert code_version(stages, units) != code_version(stages)
    edited = tmp_path / "edited.py"
    edited.write_text("changed = True\n")
    before = code_version(stages)
    monkeypatch.setattr(stages.inspect, "getsourcefile", lambda _: str(edited))
    assert code_version(stages) != before
