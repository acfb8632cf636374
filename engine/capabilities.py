"""What this machine can do, found out without loading a runtime."""

from datetime import UTC, datetime

from engine.backends import BACKENDS
from engine.measure.environment import describe, machine_id
from engine.results import MachineRecord


def this_machine() -> MachineRecord:
    """Describe this machine and every backend's chances on it."""
    return MachineRecord(
        machine=machine_id(),
        environment=describe(),
        capabilities=tuple(backend.capabilities() for backend in BACKENDS),
        seen_at=datetime.now(UTC),
    )
