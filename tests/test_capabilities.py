"""What this machine can do: each runtime is tried once, and tried again when anything changes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import capabilities
from engine.backends import BACKENDS
from engine.capabilities import this_machine
from engine.environments import OwnEnvironment
from engine.measure.environment import machine_id
from engine.results import Capability, MachineRecord


class Looks:
    """Answers for every runtime and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, name: str) -> Capability:
        self.asked.append(name)
        return Capability(backend=name, available=name != "openvino", reason="gone" if name == "openvino" else "")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SUBSECOND_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path / "cache"))
    machine_id.cache_clear()
    yield
    machine_id.cache_clear()


def test_this_machine_speaks_for_every_backend(tmp_path: Path) -> None:
    machine = this_machine(Looks())
    assert [capability.backend for capability in machine.capabilities] == BACKENDS.names()
    assert all(capability.available == (not capability.reason) for capability in machine.capabilities)
    assert machine.machine == machine.environment.machine == (tmp_path / "state" / "machine-id").read_text()
    assert machine.seen_at.tzinfo is not None
    assert MachineRecord.model_validate_json(machine.model_dump_json()) == machine


def test_what_was_found_is_kept() -> None:
    first, second = Looks(), Looks()
    assert this_machine(first).capabilities == this_machine(second).capabilities
    assert sorted(first.asked) == sorted(BACKENDS.names())
    assert second.asked == []


def test_everything_is_tried_again_when_asked() -> None:
    this_machine(Looks())
    again = Looks()
    this_machine(again, anew=True)
    assert sorted(again.asked) == sorted(BACKENDS.names())


def test_everything_is_tried_again_after_the_machine_was_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    this_machine(Looks())
    monkeypatch.setattr(capabilities.psutil, "boot_time", lambda: 1.0)
    again = Looks()
    this_machine(again)
    assert sorted(again.asked) == sorted(BACKENDS.names())


def test_everything_is_tried_again_when_a_package_was_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    this_machine(Looks())
    monkeypatch.setattr(capabilities, "distributions", list)
    again = Looks()
    this_machine(again)
    assert sorted(again.asked) == sorted(BACKENDS.names())


def test_everything_is_tried_again_when_an_environment_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    this_machine(Looks())
    monkeypatch.setattr(OwnEnvironment, "is_made", True)
    again = Looks()
    this_machine(again)
    assert sorted(again.asked) == sorted(BACKENDS.names())


def test_a_damaged_finding_is_found_again(tmp_path: Path) -> None:
    this_machine(Looks())
    (kept,) = (tmp_path / "cache" / "capabilities").iterdir()
    kept.write_text("nothing of the kind")
    again = Looks()
    this_machine(again)
    assert sorted(again.asked) == sorted(BACKENDS.names())


def test_a_folder_that_cannot_be_written_is_no_reason_not_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path / "file"))
    assert this_machine(Looks()).capabilities
