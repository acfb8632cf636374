"""``python -m tests.chaos.looker TABS``: a dashboard without a browser, whose tabs read all that pages read.

It looks at the database that ``SUBSECOND_DB`` names until its standard input closes, and prints how often it looked. A
row that is not whole, or goes backwards, ends it with an error.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dashboard import state
from engine.analysis.frontier import frontier_info
from engine.analysis.listing import run_rows
from engine.results import RunRecord, Status
from engine.store.selection import RunFilter
from engine.store.store import Store
from tests.chaos import worker

PAUSE_S = 0.05
RANKS = {Status.QUEUED: 0, Status.RUNNING: 1, Status.DONE: 2}
ENDED = RunFilter((Status.DONE, Status.FAILED, Status.CANCELLED))


class Tab:
    """What one viewer sees."""

    def __init__(self) -> None:
        self.looks = 0
        self._ranks: dict[int, int] = {}
        self._done = 0

    def look(self) -> None:
        """Read what the pages read, and check it."""
        store = state.store()
        self._runs(store)
        self._frontier(store)
        self._system(store)
        self.looks += 1

    def _runs(self, store: Store) -> None:
        for record in state.active_runs(store):
            self._see(record)
            store.run_folder(record.id).log_tail()
        done = state.counted(store, ENDED)
        assert done >= self._done, "a finished run is gone"
        self._done = done
        listed = state.listed(store, ENDED, 100, 0)
        assert len(run_rows(listed)) == len(listed) >= min(done, 100)
        assert all(row.metrics for row in listed), "a finished run has no numbers"
        if listed:
            newest = store.run(listed[0].id)
            self._see(newest)
            np.testing.assert_array_equal(store.raw(newest.id).arrays["predictions"], worker.expected(newest.spec.seed))

    def _frontier(self, store: Store) -> None:
        for context, count in store.contexts():
            runs = state.runs_of(store, context.key)
            assert len(runs) >= count
            assert {len(run.metrics) for run in runs} == {len(runs[0].metrics)}, "a run has half of its numbers"
            info = frontier_info(runs)
            assert len(info.points) == len(runs)
            assert info.on_frontier()

    def _system(self, store: Store) -> None:
        state.names(store)
        store.all_tags()
        store.control()
        store.selfchecks()
        store.audit()
        assert len(store.services()) >= len(store.services(alive_within_s=state.ALIVE_WITHIN_S))

    def _see(self, record: RunRecord) -> None:
        is_done = record.status is Status.DONE
        assert (record.result is not None) == is_done, f"run {record.id} is {record.status} and has half a result"
        assert (record.finished_at is not None) == is_done
        assert record.status is Status.QUEUED or record.started_at is not None
        rank = RANKS[record.status]
        assert rank >= self._ranks.get(record.id, 0), f"run {record.id} went back to {record.status}"
        self._ranks[record.id] = rank


def follow(closed: threading.Event) -> int:
    """Look again and again until the end; return how often."""
    tab = Tab()
    while not closed.wait(PAUSE_S):
        tab.look()
    return tab.looks


def main(tabs: int) -> None:
    """Let all tabs look; an error in one of them ends the program with it."""
    closed = threading.Event()
    with ThreadPoolExecutor(tabs) as pool:
        looking = [pool.submit(follow, closed) for _ in range(tabs)]
        sys.stdin.read()
        closed.set()
    sys.stdout.write(f"{min(one.result() for one in looking)}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
