"""``python -m engine.worker SPEC.json RESULT.json``: one run in a process of its own.

Events go to standard output, one JSON document a line; everything else that would be printed goes to standard error.
The result is written under a temporary name and renamed, so that a result that can be seen is whole. When standard
input closes, whoever started the worker is gone: the worker ends and takes its inference processes along.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import TextIO

from engine.errors import SubsecondError
from engine.measure.jobs import save_arrays
from engine.pipeline import Pipeline
from engine.quiet import quiet_libraries
from engine.results import Failure, WorkerEvent, WorkerOutcome
from engine.spec import ExperimentSpec

RAW_FILE = "raw.npz"
EXIT_DONE, EXIT_FAILED = 0, 1


def main(spec_file: str, result_file: str) -> int:
    """Carry out the spec and leave the outcome; return the exit code."""
    events = _claim_stdout()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    quiet_libraries()
    result_path = Path(result_file)
    scratch = Path(tempfile.mkdtemp(prefix=".work-", dir=result_path.parent))
    signal.signal(signal.SIGTERM, lambda *_: _end_group())

    def emit(event: WorkerEvent) -> None:
        with contextlib.suppress(BrokenPipeError):
            events.write(event.model_dump_json() + "\n")
            events.flush()

    pipeline: Pipeline | None = None
    try:
        spec = ExperimentSpec.model_validate_json(Path(spec_file).read_text("utf-8"))
        pipeline = Pipeline(spec, scratch, emit)
        result, raw = pipeline.run()
        outcome = WorkerOutcome(result=result)
        save_arrays(result_path.with_name(RAW_FILE), raw.arrays)
    except Exception as error:  # noqa: BLE001 - the one broad except: whatever happens becomes a row
        traceback.print_exc()
        outcome = WorkerOutcome(error=_failure(error, pipeline.stage if pipeline else "start"))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _write_atomically(result_path, outcome.model_dump_json().encode())
    return EXIT_DONE if outcome.result else EXIT_FAILED


def _failure(error: Exception, stage: str) -> Failure:
    """Turn an exception into a sentence; an unexpected one says so."""
    if isinstance(error, SubsecondError):
        return Failure(stage=stage, kind=type(error).__name__, message=str(error))
    if isinstance(error, MemoryError):
        return Failure(
            stage=stage, kind="MemoryError", message="Memory ran out. Close other programs or choose a smaller model."
        )
    return Failure(
        stage=stage,
        kind=type(error).__name__,
        message=f"The stage '{stage}' stopped unexpectedly: {error}. The log has the whole story; please report it.",
    )


def _claim_stdout() -> TextIO:
    """Keep standard output for events alone; libraries that print are sent to standard error."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return events


def _write_atomically(path: Path, content: bytes) -> None:
    """Write under another name, flush to disk, rename."""
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _end_with_parent() -> None:
    """Wait for the end of standard input, then end this process and its children."""
    while os.read(sys.stdin.fileno(), 1):  # the file's own buffer would be locked when the interpreter ends
        pass
    _end_group()


def _end_group() -> None:
    """Kill the process group if the worker leads one; otherwise only itself. Never the caller's own group."""
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(EXIT_FAILED)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
