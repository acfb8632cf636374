"""``python -m engine.probe BACKEND``: try a runtime in a fresh process and print what it can do here as JSON.

A runtime that is installed may still not run: a library is missing, a driver is too old, a device is gone. What it says
then is kept, because it is what a person needs to mend it.
"""

import subprocess
import sys

from engine.backends import BACKENDS
from engine.environments import process_environment
from engine.quiet import quiet_libraries
from engine.results import Capability

TIMEOUT_S = 120.0
KEPT_CHARACTERS = 400


def main(name: str) -> None:
    """Try the runtime and print the finding; whatever it raises is the finding."""
    quiet_libraries()
    backend = BACKENDS.get(name)
    installed = backend.capabilities()
    if installed.available:
        try:
            found = backend.try_options()
            installed = installed.model_copy(update={"devices": found.get("device", ()), "choices": found})
        except Exception as error:  # noqa: BLE001 - the finding is whatever went wrong, of any kind
            reason = f"{backend.title} is installed but does not run: {type(error).__name__}: {error}"
            installed = Capability(backend=name, available=False, reason=reason[:KEPT_CHARACTERS])
    sys.stdout.write(installed.model_dump_json())


def probe(name: str, *, command: tuple[str, ...] = ()) -> Capability:
    """Return what a runtime can do here, found out by running it; one that crashes or hangs is unavailable.

    Args:
        command: what to run instead of this module in the backend's own Python.
    """
    backend = BACKENDS.get(name)
    title = backend.title
    if backend.environment and not backend.environment.is_made:
        return backend.capabilities()
    try:
        done = subprocess.run(
            [*(command or (str(backend.python), "-m", "engine.probe")), name],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env=process_environment(),
        )
    except subprocess.TimeoutExpired:
        return _unavailable(name, f"{title} did not answer within {TIMEOUT_S:.0f} s when it was tried.")
    last_line = done.stdout.strip().rpartition("\n")[2]
    try:
        return Capability.model_validate_json(last_line)
    except ValueError:
        told = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        return _unavailable(name, f"{title} crashed when it was tried: {told}")


def _unavailable(name: str, reason: str) -> Capability:
    return Capability(backend=name, available=False, reason=reason[:KEPT_CHARACTERS])


if __name__ == "__main__":
    main(sys.argv[1])
