"""What this machine can do, found out by trying each runtime in a process of its own."""

import hashlib
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

import psutil
from pydantic import TypeAdapter

from engine.backends import BACKENDS
from engine.measure.environment import describe, machine_id, usable_cores
from engine.paths import cache_folder
from engine.probe import probe
from engine.results import Capability, MachineRecord

Look = Callable[[str], Capability]
_FINDINGS = TypeAdapter(tuple[Capability, ...])


def this_machine(look: Look = probe, *, anew: bool = False) -> MachineRecord:
    """Describe this machine and what every backend can do on it.

    What was found is kept until the machine starts anew or a package is installed, so that a service starts at once.

    Args:
        look: finds out what one backend can do; by default by running it in a fresh process.
        anew: try everything again, whatever was found before.
    """
    return MachineRecord(
        machine=machine_id(),
        environment=describe(),
        capabilities=_findings(look, anew=anew),
        seen_at=datetime.now(UTC),
    )


def _findings(look: Look, *, anew: bool) -> tuple[Capability, ...]:
    kept = cache_folder() / "capabilities" / f"{_state()}.json"
    if not anew:
        with suppress(OSError, ValueError):
            return _FINDINGS.validate_json(kept.read_bytes())
    with ThreadPoolExecutor(usable_cores()) as pool:  # threads that wait for processes
        found = tuple(pool.map(look, BACKENDS.names()))
    with suppress(OSError):  # a full disk is no reason not to start
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(f".{machine_id()}")
        temporary.write_bytes(_FINDINGS.dump_json(found))
        temporary.replace(kept)
    return found


def _state() -> str:
    """Return what has to be the same for a finding to hold: code, packages, and the time since the machine started."""
    packages = sorted(f"{one.name}=={one.version}" for one in distributions())
    packages += [
        f"{backend.environment}" for backend in BACKENDS if backend.environment and backend.environment.is_made
    ]
    sources = [Path(__file__), *sorted(Path(__file__).parent.glob("backends/*.py"))]
    code = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    state = "\n".join([platform.node(), f"{psutil.boot_time():.0f}", *code, *packages])
    return hashlib.sha256(state.encode()).hexdigest()[:24]
