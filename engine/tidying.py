"""How much disk an installation may keep: files of runs and cached stages; what nobody used for longest goes first."""

import logging
import time
from dataclasses import dataclass

from engine.executors.limits import positive_number
from engine.stages import StageCache
from engine.store.store import Store

_log = logging.getLogger(__name__)

RUNS_VARIABLE, STAGES_VARIABLE = "SUBSECOND_RUNS_GB", "SUBSECOND_STAGES_GB"


@dataclass(frozen=True, slots=True)
class Quota:
    """Bounds of what lies on disk beside the record, which is never touched."""

    runs_bytes: int = 5_000_000_000
    """Logs, specs and results of runs, beside the database."""
    stages_bytes: int = 40_000_000_000
    """Finished stages, in the user's cache folder."""

    @classmethod
    def of_environment(cls) -> "Quota":
        """Return the bounds that ``SUBSECOND_RUNS_GB`` and ``SUBSECOND_STAGES_GB`` ask for.

        Raises:
            InvalidValueError: if one of them is no positive number.
        """
        runs, stages = positive_number(RUNS_VARIABLE), positive_number(STAGES_VARIABLE)
        return cls(
            runs_bytes=cls().runs_bytes if runs is None else int(runs * 1e9),
            stages_bytes=cls().stages_bytes if stages is None else int(stages * 1e9),
        )


def tidy(store: Store, quota: Quota, cache: StageCache | None = None) -> None:
    """Remove what is over the quota, nothing that a run of any service of this database needs.

    Args:
        store: whose runs' files are bounded, and which tells what is under way.
        quota: how much may stay.
        cache: the stages; ``None`` for the user's.

    Raises:
        StoreError: if the store cannot be read.
        OSError: if a folder cannot be read.
    """
    if runs := store.shed_files(quota.runs_bytes):
        _log.info("removed the files of %d runs that ended longest ago: more than %s", len(runs), RUNS_VARIABLE)
    busy_since = store.busy_since()
    since = None if busy_since is None else busy_since.timestamp()
    if stages := (cache or StageCache()).shed(quota.stages_bytes, now=time.time(), busy_since=since):
        _log.info("removed %d stages that were used longest ago: more than %s", len(stages), STAGES_VARIABLE)
