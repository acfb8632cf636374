"""Where things lie on disk outside the project: one folder for all caches, overridable by ``SUBSECOND_CACHE``."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the folder for weights and stages; shared by every checkout of this user."""
    return Path(os.environ.get("SUBSECOND_CACHE") or platformdirs.user_cache_dir("subsecond"))


def state_folder() -> Path:
    """Return the folder for what must outlive the caches (this machine's random id)."""
    return Path(os.environ.get("SUBSECOND_STATE") or platformdirs.user_state_dir("subsecond"))
