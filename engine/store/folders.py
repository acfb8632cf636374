"""Where the files of a run lie: beside the database, never in it."""

from dataclasses import dataclass
from pathlib import Path

import platformdirs

_TAIL_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run, as the worker and the engine agree on them."""

    path: Path

    @property
    def spec(self) -> Path:
        return self.path / "spec.json"

    @property
    def result(self) -> Path:
        """A ``WorkerOutcome``, renamed into place as the worker's last act, so that it is whole or not there."""
        return self.path / "result.json"

    @property
    def raw(self) -> Path:
        """The arrays of ``RawData`` as an ``.npz`` file without pickles, in place before the result."""
        return self.path / "raw.npz"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def log_tail(self, limit_bytes: int = _TAIL_BYTES) -> str:
        """Return the end of the log, beginning at a line's start; empty where there is none yet."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - limit_bytes))
                tail = file.read(limit_bytes)
        except OSError:
            return ""
        if size > limit_bytes:
            tail = tail.partition(b"\n")[2] or tail
        return tail.decode(errors="replace")


def runs_folder(database: Path | None) -> Path:
    """Return the folder of all runs' files: beside a database file, in the user's data folder for a server."""
    if database is not None:
        return database.parent / "runs"
    return Path(platformdirs.user_data_dir("subsecond")) / "runs"
