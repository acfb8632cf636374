"""What this machine can do, found out by trying each runtime in a process of its own."""

from collections.abc import Callable
from datetime import UTC, datetime

from engine.backends import BACKENDS
from engine.measure.environment import describe, machine_id
from engine.probe import probe
from engine.results import Capability, MachineRecord

Look = Callable[[str], Capability]


def this_machine(look: Look = probe) -> MachineRecord:
    """Describe this machine and what every backend can do on it.

    Args:
        look: finds out what one backend can do; by default by running it in a fresh process.
    """
    return MachineRecord(
        machine=machine_id(),
        environment=describe(),
        capabilities=tuple(look(name) for name in BACKENDS.names()),
        seen_at=datetime.now(UTC),
    )
