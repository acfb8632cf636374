"""The stage cache: every expensive result is keyed by its inputs and its code, computed once and shared by all runs."""

import contextlib
import hashlib
import inspect
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from engine.paths import cache_folder, folder_bytes

_COMPLETE = ".complete"
_LOCK = ".lock"
KEPT_S = 24 * 3600.0
"""A stage that was used within this time is never removed: longer than a run usually may take that still reads it."""


def code_version(*things: Any) -> str:
    """Return a hash of the source files in which these classes, functions or modules stand."""
    digest = hashlib.sha256()
    for thing in things:
        source = inspect.getsourcefile(thing if inspect.ismodule(thing) or inspect.isroutine(thing) else type(thing))
        digest.update(Path(source or "").read_bytes())
    return digest.hexdigest()[:16]


def stage_key(kind: str, inputs: Mapping[str, Any]) -> str:
    """Return the key of a stage: its kind and a hash of everything its result depends on."""
    text = json.dumps(inputs, sort_keys=True, default=str)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


@dataclass(frozen=True)
class Stage:
    """A finished stage: its key, its folder, and whether it was there before."""

    key: str
    folder: Path
    cached: bool


class StageCache:
    """Folders by key. A folder that can be seen is complete: it is renamed into place when its content is."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or cache_folder() / "stages"

    def find(self, key: str) -> Stage | None:
        """Return the stage of that key if it was finished before, and mark it as used."""
        if not (self._root / key / _COMPLETE).is_file():
            return None
        try:
            with FileLock(self._root / f"{key}{_LOCK}"):  # or somebody short of space may remove it before the mark
                return self._found(key)
        except OSError:
            return self._found(key)  # a cache that can only be read is still good to read, and nobody removes anything

    def get(self, key: str, build: Callable[[Path], None]) -> Stage:
        """Return the stage of that key, calling ``build`` with an empty folder if it is not there.

        Two workers that want the same stage at once wait for each other; it is built once. What ``build`` raises goes
        through, and leaves nothing behind.
        """
        if found := self.find(key):
            return found
        self._root.mkdir(parents=True, exist_ok=True)
        with FileLock(self._root / f"{key}{_LOCK}"):
            if found := self._found(key):
                return found
            for left_over in self._root.glob(f".{key}-*"):  # of a worker that was killed; the lock is ours
                shutil.rmtree(left_over, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(dir=self._root, prefix=f".{key}-"))
            try:
                build(scratch)
                (scratch / _COMPLETE).touch()
                shutil.rmtree(self._root / key, ignore_errors=True)
                scratch.replace(self._root / key)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return Stage(key, self._root / key, cached=False)

    def _found(self, key: str) -> Stage | None:
        """Do what :meth:`find` does, under a lock that the caller holds."""
        folder = self._root / key
        if not (folder / _COMPLETE).is_file():
            return None
        with contextlib.suppress(OSError):
            os.utime(folder / _COMPLETE)  # what was used lately stays when space gets short
        return Stage(key, folder, cached=True)

    def shed(
        self,
        limit_bytes: int,
        *,
        now: float,
        busy_since: float | None = None,
        size: Callable[[Path], int] = folder_bytes,
    ) -> list[str]:
        """Remove the stages used longest ago until at most ``limit_bytes`` are left; return their keys.

        Never one that was used within :data:`KEPT_S` or since ``busy_since``, and never one whose lock is held. What
        killed builders left behind goes too, and so do locks of stages that are not there.

        Args:
            limit_bytes: how much may stay.
            now: seconds since the epoch.
            busy_since: when the longest run under way began, which may still read what it asked for then.
            size: tells the bytes below a folder.
        """
        if not self._root.is_dir():
            return []
        for scratch in self._root.glob(".*-*"):
            with self._locked(scratch.name[1:].rpartition("-")[0]) as is_ours:
                if is_ours:
                    shutil.rmtree(scratch, ignore_errors=True)
        folders = [folder for folder in self._root.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
        sizes = {folder: size(folder) for folder in folders}
        total, gone = sum(sizes.values()), []
        unused_since = now - KEPT_S if busy_since is None else min(now - KEPT_S, busy_since)
        for folder in sorted(folders, key=_last_use):
            if total <= limit_bytes:
                break
            if self._remove(folder, unused_since):
                total -= sizes[folder]
                gone.append(folder.name)
        for lock in self._root.glob(f"*{_LOCK}"):
            with self._locked(lock.name.removesuffix(_LOCK)) as is_ours:
                if is_ours and not lock.with_suffix("").exists():
                    lock.unlink(missing_ok=True)  # whoever opened it meanwhile sees that it has no name and tries again
        return gone

    def _remove(self, folder: Path, unused_since: float) -> bool:
        with self._locked(folder.name) as is_ours:
            # Asked again under the lock, right before the name goes: somebody may just have come to use it.
            if not is_ours or _last_use(folder) > unused_since:
                return False
            going = folder.with_name(f".{folder.name}-gone")
            try:
                folder.replace(going)  # at once: half a stage must never be seen
            except OSError:
                return False
            shutil.rmtree(going, ignore_errors=True)
            return True

    @contextmanager
    def _locked(self, key: str) -> Iterator[bool]:
        """Hold the lock of a stage if nobody else does; tell whether."""
        lock = FileLock(self._root / f"{key}{_LOCK}")
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def _last_use(folder: Path) -> float:
    """Return when a stage was last asked for; one that is not whole was never used."""
    try:
        return (folder / _COMPLETE).stat().st_mtime
    except OSError:
        return 0.0
