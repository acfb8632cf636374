"""Workers as processes of this machine: fresh, in a group of their own, and never left behind."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil
from pydantic import ValidationError

from engine.environments import process_environment
from engine.errors import WorkerDiedError
from engine.executors.base import Bell, Ending, Job
from engine.executors.limits import BoundedLog, Limits
from engine.executors.outcome import overdue, read_ending
from engine.results import WorkerEvent
from engine.spec import ExperimentSpec
from engine.store.folders import RunFolder

RUN_VARIABLE = "SUBSECOND_RUN_FOLDER"
"""In the environment of a worker and of whatever it starts: the folder of the run they work for."""
WORKER = (sys.executable, "-m", "engine.worker")

_LONGEST_LINE = 65_536


class LocalExecutor:
    """Starts each worker as a fresh process on this machine.

    Args:
        runs_folder: where each run gets the folder of its files.
        slots: how many workers may run at once.
        command: the worker's command line, to which the spec's and the result's paths are added.
        grace_s: how long a cancelled worker has to end before it is killed.
        limits: what one run may take.
    """

    def __init__(
        self,
        runs_folder: Path,
        *,
        slots: int = 1,
        command: Sequence[str] = WORKER,
        grace_s: float = 5.0,
        limits: Limits | None = None,
    ) -> None:
        self._runs_folder = runs_folder.absolute()
        self._slots = slots
        self._command = tuple(command)
        self._grace_s = grace_s
        self._limits = limits or Limits()
        end_left_over(self._runs_folder)

    @property
    def slots(self) -> int:
        return self._slots

    def submit(self, job: Job, bell: Bell) -> "LocalHandle":
        """Start a worker; ``bell`` rings at every event and at the end.

        Raises:
            WorkerDiedError: if it could not be started.
        """
        folder = RunFolder(self._runs_folder / str(job.run_id))
        end_left_over(self._runs_folder)
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            folder.result.unlink(missing_ok=True)
            folder.raw.unlink(missing_ok=True)
            for left_over in folder.path.glob(".work-*"):  # of an attempt that was killed
                shutil.rmtree(left_over, ignore_errors=True)
            folder.spec.write_text(job.spec.canonical_json())
            log = BoundedLog(folder.log.open("ab", buffering=0), self._limits.log_bytes)
            with ExitStack() as undo:
                undo.callback(log.close)
                if job.attempt > 1:
                    log.write(f"--- attempt {job.attempt} ---\n".encode())
                process = self._start(folder, job.spec)
                undo.pop_all()
            self._limits.hold(process.pid)
        except OSError as error:
            message = f"The worker could not be started ({error}); check space and permissions of {folder.path.parent}."
            raise WorkerDiedError(message) from error
        return LocalHandle(process, folder, bell, self._grace_s, log=log, limits=self._limits)

    def _start(self, folder: RunFolder, spec: ExperimentSpec) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*self._command, str(folder.spec), str(folder.result)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Nothing that lies where the engine happened to be started can stand in for a module of the worker's.
            cwd=folder.path,
            env={**worker_environment(spec), RUN_VARIABLE: str(folder.path)},
            start_new_session=True,
        )


def end_left_over(runs_folder: Path) -> None:
    """Kill what workers started and left behind: a worker and its engine may have been killed at one moment.

    A worker leads a session of its own, so whatever it started and outlives it is in a session without a leader.
    """
    for process in psutil.process_iter():
        try:
            folder = process.environ().get(RUN_VARIABLE)
            if folder and Path(folder).parent == runs_folder and not _is_alive(os.getsid(process.pid)):
                process.kill()
        except (psutil.Error, OSError):  # it ended, or is somebody else's
            continue


def worker_environment(spec: ExperimentSpec) -> dict[str, str]:
    """Return the environment of a worker: ours, and what must be set before torch loads."""
    environment = process_environment()
    environment["PYTHONHASHSEED"] = str(spec.seed)
    environment["TOKENIZERS_PARALLELISM"] = "false"
    # Training threads that spin while they wait fight with whoever else needs the cores: with one foreign process the
    # small CNN took 90 s instead of 57. Inference processes, which are timed, keep the runtime's own default.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    threads = spec.backend.params.get("threads")
    if isinstance(threads, int) and threads > 0:
        environment["OMP_NUM_THREADS"] = environment["MKL_NUM_THREADS"] = str(threads)
    return environment


class LocalHandle:
    """A worker process, its event stream, its log and its end, watched by threads that sleep in the kernel."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        folder: RunFolder,
        bell: Bell,
        grace_s: float,
        *,
        log: BoundedLog,
        limits: Limits,
    ) -> None:
        self._process = process
        self._folder = folder
        self._bell = bell
        self._grace_s = grace_s
        self._events: deque[WorkerEvent] = deque()
        self._stage = "start"
        self._ending: Ending | None = None
        # Guards the group against being signalled after its leader was reaped, when the id may be someone else's.
        self._lock = threading.Lock()
        self._is_reaped = False
        self._kill_timer: threading.Timer | None = None
        self._log, self._limits = log, limits
        self._is_overdue = False
        self._wall_timer = threading.Timer(limits.wall_s, self._end_overdue)
        self._wall_timer.daemon = True
        self._wall_timer.start()
        self._log_reader = threading.Thread(target=self._keep_log, name=f"worker-{process.pid}-log", daemon=True)
        self._log_reader.start()
        self._reader = threading.Thread(target=self._read, name=f"worker-{process.pid}-events", daemon=True)
        self._reader.start()
        threading.Thread(target=self._watch, name=f"worker-{process.pid}-end", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id, which is also the id of the worker's process group."""
        return self._process.pid

    def events(self) -> list[WorkerEvent]:
        return [self._events.popleft() for _ in range(len(self._events))]

    def poll(self) -> Ending | None:
        return self._ending

    def cancel(self) -> None:
        with self._lock:
            if self._is_reaped or self._kill_timer is not None:
                return
            os.killpg(self.pid, signal.SIGTERM)
            self._kill_timer = threading.Timer(self._grace_s, self._kill)
            self._kill_timer.daemon = True
            self._kill_timer.start()

    def _end_overdue(self) -> None:
        self._is_overdue = True
        self._kill()

    def _kill(self) -> None:
        with self._lock:
            if not self._is_reaped:
                os.killpg(self.pid, signal.SIGKILL)

    def _read(self) -> None:
        """Take events from stdout; whatever else a library prints there belongs into the log."""
        stdout = self._process.stdout
        if stdout is None:
            return
        with stdout:
            while line := stdout.readline(_LONGEST_LINE):
                try:
                    event = WorkerEvent.model_validate_json(line)
                except ValidationError:
                    self._log.write(line)
                    continue
                self._stage = event.stage
                self._events.append(event)
                self._bell.ring()

    def _keep_log(self) -> None:
        """Take what the worker and its children complain of; a full disk must not stop the reading."""
        stderr = self._process.stderr
        if stderr is None:
            return
        with stderr:
            while data := os.read(stderr.fileno(), _LONGEST_LINE):
                self._log.write(data)

    def _watch(self) -> None:
        """Wait for the end, sweep up the group, read what was left."""
        # WNOWAIT leaves the dead leader unreaped, so that its id still names the group while that is swept.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        os.killpg(self.pid, signal.SIGKILL)
        _wait_for_group(self.pid, self._grace_s)
        with self._lock:
            code = self._process.wait()
            self._is_reaped = True
            if self._kill_timer is not None:
                self._kill_timer.cancel()
        # The pipe ends with the group; only a child that left the group could hold it open, and is not waited for.
        self._reader.join(self._grace_s)
        self._log_reader.join(self._grace_s)
        self._wall_timer.cancel()
        self._log.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        ending = read_ending(self._folder, code, self._stage)
        if self._is_overdue and ending.result is None:
            ending = overdue(self._folder, self._stage, self._limits.time_sentence)
        self._ending = ending
        self._bell.ring()


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _wait_for_group(group: int, timeout_s: float) -> None:
    """Wait until the kernel has ended what was killed, so that the next run does not share the machine with it."""
    deadline = time.monotonic() + timeout_s
    while any(_is_in_group(process, group) for process in psutil.process_iter()) and time.monotonic() < deadline:
        time.sleep(0.005)


def _is_in_group(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.Error):
        return False
