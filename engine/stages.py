"""The stage cache: every expensive result is keyed by its inputs and its code, computed once and shared by all runs."""

import hashlib
import inspect
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from engine.paths import cache_folder

_COMPLETE = ".complete"


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
        """Return the stage of that key if it was finished before."""
        folder = self._root / key
        return Stage(key, folder, cached=True) if (folder / _COMPLETE).is_file() else None

    def get(self, key: str, build: Callable[[Path], None]) -> Stage:
        """Return the stage of that key, calling ``build`` with an empty folder if it is not there.

        Two workers that want the same stage at once wait for each other; it is built once. What ``build`` raises goes
        through, and leaves nothing behind.
        """
        if found := self.find(key):
            return found
        self._root.mkdir(parents=True, exist_ok=True)
        with FileLock(self._root / f"{key}.lock"):
            if found := self.find(key):
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
