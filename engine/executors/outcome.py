"""What a worker left behind, read once its processes are gone."""

import signal
import zipfile

import numpy as np
from pydantic import ValidationError

from engine.executors.base import Ending
from engine.results import Failure, RawData, WorkerOutcome
from engine.store.folders import RunFolder


def read_ending(folder: RunFolder, code: int, stage: str) -> Ending:
    """Return how a worker ended.

    Args:
        folder: the files of the run.
        code: the exit status, negative for a signal.
        stage: the last stage that was heard of.
    """
    try:
        outcome = WorkerOutcome.model_validate_json(folder.result.read_bytes())
        raw = _read_raw(folder)
    except FileNotFoundError:
        return _died(folder, stage, _reason(code, stage))
    except (OSError, ValueError, ValidationError, zipfile.BadZipFile, MemoryError, EOFError, KeyError) as error:
        return _died(folder, stage, f"The worker's result cannot be read ({_first_line(error)}); retry the run.")
    if outcome.error is not None:
        failure = outcome.error
        return Ending(
            failure=failure if failure.log_tail else failure.model_copy(update={"log_tail": folder.log_tail()})
        )
    if outcome.result is None:
        return _died(folder, stage, "The worker left a result without content; retry the run.")
    return Ending(result=outcome.result, raw=raw)


def overdue(folder: RunFolder, stage: str, message: str) -> Ending:
    """Return the end of a worker that was stopped because it took too long; it is not tried again."""
    failure = Failure(stage=stage, kind="TimeLimit", message=message, log_tail=folder.log_tail())
    return Ending(failure=failure)


def _read_raw(folder: RunFolder) -> RawData:
    if not folder.raw.exists():
        return RawData(arrays={})
    with np.load(folder.raw, allow_pickle=False) as archive:
        return RawData(arrays={name: archive[name] for name in archive.files})


def _died(folder: RunFolder, stage: str, message: str) -> Ending:
    failure = Failure(stage=stage, kind="WorkerDiedError", message=message, log_tail=folder.log_tail())
    return Ending(failure=failure, died=True)


def _reason(code: int, stage: str) -> str:
    """Return what an exit status says, and what to do about it."""
    if code == -signal.SIGKILL:
        return (
            f"The worker was killed (SIGKILL) in stage '{stage}', most likely because memory ran out; "
            "choose a smaller model or batch, or free some memory, then retry the run."
        )
    if code < 0:
        return (
            f"The worker was ended by {_signal_name(-code)} in stage '{stage}'; see the log's tail, then retry the run."
        )
    return f"The worker ended with exit code {code} and no result in stage '{stage}'; see the log's tail."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
