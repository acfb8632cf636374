"""The loop that takes runs from the queue, has them executed and records what became of them."""

import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from engine.asking import Inquiry
from engine.desk import Conversation, Desk
from engine.errors import StoreError, WorkerDiedError
from engine.executors.base import Bell, Ending, Executor, Handle, Job
from engine.results import Failure, MachineRecord, ServiceRecord, WorkerEvent
from engine.store.store import Store

_log = logging.getLogger(__name__)

_MAX_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the loop does what, in seconds. All of it together costs an idle service well under 1 % of a core."""

    beat_s: float = 5.0
    stale_after_s: float = 30.0
    """A service that was silent for so long is taken for dead: six missed beats."""
    look_s: float = 0.5
    """Between looks at the queue while a slot is free."""
    cancel_s: float = 1.0
    """Between looks for a cancellation: the one query made while a worker times."""
    progress_s: float = 0.5
    """Between writes of progress within one stage."""
    retry_s: float = 1.0
    """Before a result that could not be stored is tried again; doubles up to ``stale_after_s``."""
    tidy_s: float = 600.0
    """Between two tidyings, of which there is one at the start and one after runs have ended."""


@dataclass(slots=True)
class _Active:
    """A run under way here."""

    run_id: int
    attempt: int
    retry_s: float
    cancel_due: float
    handle: Handle | None = None
    ending: Ending | None = None
    events: deque[WorkerEvent] = field(default_factory=deque)
    stage: str | None = None
    progress_due: float = 0.0
    store_due: float = 0.0
    is_cancelled: bool = False
    is_interrupted: bool = False
    is_lost: bool = False

    def stop(self) -> None:
        if self.handle is not None:
            self.handle.cancel()


class Service:
    """Executes queued runs until it is told to stop.

    Args:
        store: the queue and the record.
        executor: where workers run.
        clock: seconds that only grow.
        machine_id: the machine the executor's workers run on.
        description: what that machine is and can do, stored at the start.
        only: run nothing but these ids, even while engines are asked to pause: somebody wants just these, now.
        pace: how often the loop does what.
        converse: starts what answers questions to models; ``None`` leaves them to others.
        tidy: removes what takes too much disk; called only while nothing is under way.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        clock: Callable[[], float] = time.monotonic,
        *,
        machine_id: str,
        description: MachineRecord | None = None,
        only: Sequence[int] | None = None,
        pace: Pace | None = None,
        converse: Callable[[Inquiry, Bell], Conversation] | None = None,
        tidy: Callable[[], None] | None = None,
    ) -> None:
        self.id = f"{_process_namespace()}-{uuid.uuid4().hex}"
        self._store = store
        self._executor = executor
        self._clock = clock
        self._machine_id = machine_id
        self._description = description
        self._only = only
        self._pace = pace or Pace()
        self._bell = Bell()
        self._desk = None if converse is None else Desk(store, self.id, clock, converse, self._bell)
        self._tidy = tidy
        self._active: dict[int, _Active] = {}
        self._is_untidy = tidy is not None
        self._is_stopping = False
        self._is_started = False
        self._beat_due = self._recover_due = self._look_due = self._tidy_due = 0.0
        self._seen_revision: str | None = None

    @property
    def has_started(self) -> bool:
        """Tell whether it has given its first sign of life, so that its database can be written."""
        return self._is_started

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing is under way and the last look at the queue found nothing to take."""
        is_asked = self._desk is not None and self._desk.is_busy
        return not self._active and not is_asked and self._seen_revision is not None

    def stop(self) -> None:
        """Ask :meth:`run` to end; may be called from any thread and from a signal handler."""
        self._is_stopping = True
        self._bell.ring()

    def run(self, *, until_idle: bool = False, until_final: Sequence[int] = ()) -> None:
        """Execute runs until :meth:`stop`, or until the queue is empty, or until all the given runs have ended.

        However it ends, workers are stopped, their runs go back to the queue, and the service signs off.

        Raises:
            StoreError: if the database cannot be written at the start; later such errors are waited out.
        """
        try:
            while not self._is_stopping:
                self.step()
                if (until_idle and self.is_idle) or (until_final and self._are_final(until_final)):
                    break
                self._bell.wait(self._patience_s())
        finally:
            self.close()

    def step(self) -> None:
        """Do everything that is due now, without waiting for anything."""
        if not self._is_started:
            self._start()
        self._keep_alive()
        for active in list(self._active.values()):
            self._follow(active)
        if self._desk is not None:
            self._desk.follow()
        self._fill_slots()
        self._tidy_up()

    def close(self) -> None:
        """Stop all workers, put their runs back into the queue and sign off."""
        if self._desk is not None:
            self._desk.close()
        for active in self._active.values():
            if active.ending is None:
                active.is_interrupted = True
                active.stop()
        deadline = self._clock() + self._pace.stale_after_s
        while self._active and self._clock() < deadline:
            for active in list(self._active.values()):
                self._follow(active)
            if self._active:
                self._bell.wait(self._pace.look_s)
        if self._is_started:
            try:
                self._store.retire(self.id)
            except StoreError as error:
                _log.warning("could not sign off: %s", error)

    # Signs of life

    def _start(self) -> None:
        self._store.beat(self.id, self._machine_id, os.getpid())
        if self._description is not None:
            self._store.describe_machine(self._description)
        for service in self._store.services():
            if service.machine == self._machine_id and _is_gone(service):
                self._store.retire(service.id)
        self._recover()
        now = self._clock()
        self._beat_due, self._recover_due = now + self._pace.beat_s, now + self._pace.stale_after_s / 2
        self._is_started = True

    def _keep_alive(self) -> None:
        now = self._clock()
        try:
            if now >= self._beat_due:
                self._beat_due = now + self._pace.beat_s
                self._store.beat(self.id, self._machine_id, os.getpid())
            if now >= self._recover_due:
                self._recover_due = now + self._pace.stale_after_s / 2
                self._recover()
        except StoreError as error:
            _log.warning("no sign of life could be given: %s", error)

    def _recover(self) -> None:
        self._store.recover(self._pace.stale_after_s, _MAX_ATTEMPTS)
        self._store.recover_questions(self._pace.stale_after_s)

    def _tidy_up(self) -> None:
        """Remove what is over the quota, if there may be something and nobody is disturbed by it."""
        now = self._clock()
        if self._tidy is None or not self._is_untidy or self._is_stopping or not self.is_idle or now < self._tidy_due:
            return
        self._is_untidy, self._tidy_due = False, now + self._pace.tidy_s
        try:
            self._tidy()
        except (StoreError, OSError) as error:
            _log.warning("old files could not be removed: %s", error)

    # Taking runs

    def _fill_slots(self) -> None:
        now = self._clock()
        if self._is_stopping or now < self._look_due or len(self._active) >= self._executor.slots:
            return
        try:
            # While a worker may be timing, no more often than for its cancellation.
            self._look_due = now + (self._pace.cancel_s if self._active else self._pace.look_s)
            revision = self._store.revision()
            if revision == self._seen_revision:
                return
            self._seen_revision = None
            if self._only is None and self._store.control().paused:
                self._seen_revision = revision  # whoever lets it go on changes the revision
                return
            if self._is_at_the_desk():
                return
            while len(self._active) < self._executor.slots:
                record = self._store.claim(self.id, self._only)
                if record is None:
                    # Read before the claim, so that what was queued meanwhile is not missed.
                    self._seen_revision = revision
                    return
                self._submit(Job(run_id=record.id, attempt=record.attempt, spec=record.spec))
        except StoreError as error:
            _log.warning("the queue could not be read: %s", error)

    def _is_at_the_desk(self) -> bool:
        """Tell whether a question has the cores; one that waits is taken up if no run is under way."""
        if self._desk is None or self._active:
            return False
        return self._desk.is_busy or self._desk.take()

    def _submit(self, job: Job) -> None:
        active = _Active(job.run_id, job.attempt, self._pace.retry_s, self._clock() + self._pace.cancel_s)
        self._active[job.run_id] = active
        try:
            active.handle = self._executor.submit(job, self._bell)
        except WorkerDiedError as error:
            failure = Failure(stage="start", kind=type(error).__name__, message=str(error))
            active.ending = Ending(failure=failure, died=True)

    # Following them

    def _follow(self, active: _Active) -> None:
        """Bring the store up to what is known of one run."""
        if active.ending is None and active.handle is not None:
            # Asked before the events are fetched, so that the last ones are among them.
            active.ending = active.handle.poll()
            for event in active.handle.events():
                _append(active.events, event)
        now = self._clock()
        if now < active.store_due:
            return
        try:
            self._write_events(active)
            if active.ending is None:
                self._look_for_cancellation(active)
            else:
                self._settle(active, active.ending)
            active.retry_s = self._pace.retry_s
        except StoreError as error:
            # The run keeps its slot and its result until both are stored.
            active.store_due = now + active.retry_s
            active.retry_s = min(2 * active.retry_s, self._pace.stale_after_s)
            _log.warning("run %d could not be brought up to date, trying again: %s", active.run_id, error)

    def _write_events(self, active: _Active) -> None:
        now = self._clock()
        while active.events and not active.is_lost:
            event = active.events[0]
            if _is_progress(event) and event.stage == active.stage and now < active.progress_due:
                if active.ending is None:
                    return
            elif not self._store.record_event(active.run_id, self.id, event):
                _log.warning("run %d was taken over by another service; stopping its worker", active.run_id)
                active.is_lost = True
                active.stop()
                return
            active.events.popleft()
            active.stage, active.progress_due = event.stage, now + self._pace.progress_s

    def _look_for_cancellation(self, active: _Active) -> None:
        now = self._clock()
        if active.is_cancelled or now < active.cancel_due:
            return
        active.cancel_due = now + self._pace.cancel_s
        if self._store.cancel_requested(active.run_id):
            active.is_cancelled = True
            active.stop()

    def _settle(self, active: _Active, ending: Ending) -> None:
        if not active.is_lost and not self._store_end(active, ending):
            _log.warning("run %d was taken over by another service; its end here is not recorded", active.run_id)
        del self._active[active.run_id]
        self._is_untidy = self._tidy is not None
        self._look_due = self._clock()

    def _store_end(self, active: _Active, ending: Ending) -> bool:
        run_id = active.run_id
        if ending.result is not None:
            return self._store.finish(run_id, self.id, ending.result, ending.raw)
        if active.is_cancelled:
            return self._store.mark_cancelled(run_id, self.id)
        if active.is_interrupted:
            return self._store.release(run_id, self.id)
        if ending.died and active.attempt < _MAX_ATTEMPTS:
            return self._store.release(run_id, self.id, count_attempt=True)
        failure = ending.failure or Failure(stage="end", kind="WorkerDiedError", message="The worker left no result.")
        return self._store.fail(run_id, self.id, failure)

    # Waiting

    def _patience_s(self) -> float:
        """Return how long nothing is due."""
        due = [self._beat_due, self._recover_due]
        if len(self._active) < self._executor.slots:
            due.append(self._look_due)
        if self._is_untidy and self.is_idle:
            due.append(self._tidy_due)
        for active in self._active.values():
            soon = active.store_due if active.ending is not None else active.cancel_due
            if active.events:
                soon = min(soon, active.progress_due)
            due.append(max(soon, active.store_due))
        return min(due) - self._clock()

    def _are_final(self, ids: Sequence[int]) -> bool:
        if any(run_id in self._active for run_id in ids):
            return False
        try:
            return all(status.is_final for status in self._store.statuses(ids).values())
        except StoreError as error:
            _log.warning("the status of the runs could not be read: %s", error)
            return False


def _append(events: deque[WorkerEvent], event: WorkerEvent) -> None:
    """Add an event; progress replaces the progress before it, which nobody has seen."""
    if events and _is_progress(event) and _is_progress(events[-1]) and event.stage == events[-1].stage:
        events.pop()
    events.append(event)


def _is_progress(event: WorkerEvent) -> bool:
    return event.finished is None


def _process_namespace() -> int:
    """Return what tells containers of one machine apart: a process id means something only within its namespace."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def _is_gone(service: ServiceRecord) -> bool:
    """Tell whether the process of a service of this machine certainly exists no more."""
    return service.id.startswith(f"{_process_namespace()}-") and not psutil.pid_exists(service.pid)
