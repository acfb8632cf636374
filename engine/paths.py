"""Where things lie on disk, and how big they are: all caches in one folder, overridable by ``SUBSECOND_CACHE``."""

import contextlib
import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the folder for weights and stages.

    It lies outside the checkout, so that a fresh clone and a second database train nothing again; logs, specs and
    results of runs lie in ``runs/`` beside the database.
    """
    return Path(os.environ.get("SUBSECOND_CACHE") or platformdirs.user_cache_dir("subsecond"))


def state_folder() -> Path:
    """Return the folder for what must outlive the caches (this machine's random id)."""
    return Path(os.environ.get("SUBSECOND_STATE") or platformdirs.user_state_dir("subsecond"))


def folder_bytes(folder: Path) -> int:
    """Return how many bytes the files below a folder have; what goes away meanwhile counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(place, name).lstat().st_size
    return total
