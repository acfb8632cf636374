"""The stage cache: built once, whole or not at all."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from engine import stages, units
from engine.errors import TrainingError
from engine.stages import KEPT_S, StageCache, code_version, stage_key

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


def test_a_cache_whose_locks_cannot_be_written_is_still_read(
    cache: StageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.get(KEY, write)

    def refuse(path: Path) -> FileLock:
        raise PermissionError(path)

    monkeypatch.setattr(stages, "FileLock", refuse)
    found = cache.find(KEY)
    assert found is not None
    assert (found.folder / "file").read_text() == "content"


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


NOW = 2_000_000_000.0


class TestShedding:
    @pytest.fixture
    def aged(self, cache: StageCache, root: Path) -> Callable[[str, float], Path]:
        """Build a stage that was used so many days ago."""

        def build(key: str, days: float) -> Path:
            cache.get(key, write)
            os.utime(root / key / ".complete", (NOW - days * KEPT_S,) * 2)
            return root / key

        return build

    def test_what_was_used_longest_ago_goes_first(
        self, cache: StageCache, root: Path, aged: Callable[[str, float], Path]
    ) -> None:
        for key, days in (("middle-1", 5.0), ("old-1", 9.0), ("new-1", 2.0)):
            aged(key, days)
        assert cache.shed(25, now=NOW, size=lambda _: 10) == ["old-1"]
        assert {path.name for path in root.iterdir()} == {"middle-1", "middle-1.lock", "new-1", "new-1.lock"}
        assert cache.find("old-1") is None
        assert not cache.get("old-1", write).cached, "it is built again where it is wanted again"

    def test_nothing_goes_while_there_is_room(self, cache: StageCache, aged: Callable[[str, float], Path]) -> None:
        aged("old-1", 9.0)
        assert cache.shed(10, now=NOW, size=lambda _: 10) == []
        assert cache.shed(9, now=NOW, size=lambda _: 10) == ["old-1"]

    def test_a_stage_used_within_a_day_stays(self, cache: StageCache, aged: Callable[[str, float], Path]) -> None:
        aged("day-1", 0.99)
        assert cache.shed(0, now=NOW, size=lambda _: 10) == []
        assert cache.find("day-1") is not None

    def test_a_stage_used_since_the_longest_run_began_stays(
        self, cache: StageCache, aged: Callable[[str, float], Path]
    ) -> None:
        for key, days in (("before-1", 3.1), ("since-1", 2.9), ("day-1", 0.9)):
            aged(key, days)
        began = NOW - 3 * KEPT_S
        assert cache.shed(0, now=NOW, busy_since=began, size=lambda _: 10) == ["before-1"]
        assert cache.shed(0, now=NOW, busy_since=NOW, size=lambda _: 10) == ["since-1"], "a day stays whoever is busy"

    def test_a_stage_that_is_found_while_it_is_to_go_is_whole_or_not_found(
        self, cache: StageCache, root: Path, aged: Callable[[str, float], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        aged("old-1", 9.0)
        last_use, found = stages._last_use, []
        finder = threading.Thread(target=lambda: found.append(StageCache(root).find("old-1")))

        def be_looked_for_meanwhile(folder: Path) -> float:
            used = last_use(folder)
            if looks:
                finder.start()
                finder.join(0.2)  # it marks the stage now, unless it waits for the lock
            looks.append(used)
            return used

        looks: list[float] = []
        monkeypatch.setattr(stages, "_last_use", be_looked_for_meanwhile)
        assert cache.shed(0, now=NOW, size=lambda _: 10) == ["old-1"]
        finder.join(30)
        assert len(looks) == 2
        assert found == [None], "somebody was handed a stage that is gone"

    def test_to_find_a_stage_is_to_use_it(self, cache: StageCache, aged: Callable[[str, float], Path]) -> None:
        marks = [aged(key, 9.0) / ".complete" for key in ("found-1", "got-1", "left-1")]
        assert cache.find("found-1")
        cache.get("got-1", lambda _: pytest.fail("it was built twice"))
        found, got, left = (mark.stat().st_mtime for mark in marks)
        assert left == NOW - 9 * KEPT_S
        assert left not in (found, got)

    def test_a_stage_whose_lock_is_held_stays(
        self, cache: StageCache, root: Path, aged: Callable[[str, float], Path]
    ) -> None:
        aged("held-1", 9.0)
        with FileLock(root / "held-1.lock"):
            assert cache.shed(0, now=NOW, size=lambda _: 10) == []
        assert cache.shed(0, now=NOW, size=lambda _: 10) == ["held-1"]

    def test_what_killed_builders_left_goes_and_what_is_being_built_stays(self, cache: StageCache, root: Path) -> None:
        for key in ("dead-1", "busy-1"):
            (root / f".{key}-abcdefgh").mkdir(parents=True)
            (root / f"{key}.lock").touch()
        with FileLock(root / "busy-1.lock"):
            assert cache.shed(1000, now=NOW) == []
        assert {path.name for path in root.iterdir()} == {".busy-1-abcdefgh", "busy-1.lock"}

    def test_bytes_are_those_on_disk(self, cache: StageCache, aged: Callable[[str, float], Path]) -> None:
        aged("old-1", 9.0)
        assert cache.shed(len("content"), now=NOW) == []
        assert cache.shed(len("content") - 1, now=NOW) == ["old-1"]

    def test_without_a_cache_there_is_nothing_to_shed(self, cache: StageCache) -> None:
        assert cache.shed(0, now=NOW) == []
