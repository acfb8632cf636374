"""Where things lie on disk outside the project: one folder for all caches, overridable by ``SUBSECOND_CACHE``."""

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
