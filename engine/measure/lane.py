"""The quiet lane: timing holds one device of this host for itself."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def quiet_lane(device: str, waiting: Callable[[], None] = lambda: None, folder: Path | None = None) -> Iterator[None]:
    """Hold ``device`` exclusively, across all users and databases of this host; the lock dies with its holder.

    Args:
        waiting: called once if somebody else is timing and this call has to wait.
    """
    path = (folder or Path(tempfile.gettempdir())) / f"subsecond-quiet-{device.replace('/', '-')}.lock"
    lock = FileLock(path, mode=0o666)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
