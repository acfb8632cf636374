"""What this machine can do."""

from pathlib import Path

import pytest

from engine.backends import BACKENDS
from engine.capabilities import this_machine
from engine.measure.environment import machine_id
from engine.results import MachineRecord


def test_this_machine_speaks_for_every_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBSECOND_STATE", str(tmp_path))
    machine_id.cache_clear()
    machine = this_machine()
    machine_id.cache_clear()
    assert [capability.backend for capability in machine.capabilities] == BACKENDS.names()
    assert all(capability.available == (not capability.reason) for capability in machine.capabilities)
    assert machine.machine == machine.environment.machine == (tmp_path / "machine-id").read_text()
    assert machine.seen_at.tzinfo is not None
    assert MachineRecord.model_validate_json(machine.model_dump_json()) == machine
