"""The doctor: what the machine is, what is missing, and whether the database is well."""

import io
import sqlite3
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from rich.console import Console

from engine import cli, doctor, resolve
from engine.backends import BACKENDS
from engine.capabilities import Look
from engine.measure.environment import machine_id
from engine.results import Capability
from engine.techniques import TECHNIQUES


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SUBSECOND_STATE", str(tmp_path / "state"))
    machine_id.cache_clear()
    yield
    machine_id.cache_clear()


def untried(name: str) -> Capability:
    """Believe what is installed, since trying every runtime takes a while."""
    return BACKENDS.get(name).capabilities()


def report(database: Path, look: Look = untried) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(doctor.report(doctor.examine(str(database), look)))
    return console.file.getvalue()


def test_a_healthy_machine(database_path: Path) -> None:
    findings = doctor.examine(str(database_path), untried)
    assert findings["healthy"]
    assert [backend["backend"] for backend in findings["backends"]] == BACKENDS.names()
    assert [technique["name"] for technique in findings["techniques"]] == TECHNIQUES.names()
    assert not [technique for technique in findings["techniques"] if technique["missing"]]
    assert "error" not in findings["database"]
    text = report(database_path)
    for expected in ("processor", "instructions", "backend torch", "database"):
        assert expected in text


def test_a_missing_package_is_a_finding_with_the_command(database_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_pruning(name: str) -> str:
        if name == "torch-pruning":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(resolve, "version", without_pruning)
    (finding,) = [entry for entry in doctor.examine(str(database_path), untried)["techniques"] if entry["missing"]]
    assert finding == {"name": "prune-structured", "available": False, "missing": ["torch-pruning"]}
    assert "needs: pip install torch-pruning" in report(database_path)


def without(missing: str) -> Look:
    def look(name: str) -> Capability:
        told = Capability(backend=name, available=False, reason=f"pip install {name}")
        return told if name == missing else untried(name)

    return look


def test_a_missing_runtime_is_a_finding(database_path: Path) -> None:
    assert not doctor.examine(str(database_path), without("onnxruntime"))["healthy"]
    assert "pip install onnxruntime" in report(database_path, without("onnxruntime"))


def test_an_optional_runtime_may_be_missing(database_path: Path) -> None:
    assert doctor.examine(str(database_path), without("openvino"))["healthy"]
    assert "pip install openvino" in report(database_path, without("openvino"))


def test_an_environment_need_not_be_made(database_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path))
    assert doctor.examine(str(database_path), untried)["healthy"]
    assert "subsecond backend install litert" in report(database_path)


def test_what_answered_is_shown(database_path: Path) -> None:
    def look(name: str) -> Capability:
        found = {"device": ("cpu", "cuda")}
        return Capability(backend=name, available=True, version="9.9", devices=("cpu", "cuda"), choices=found)

    assert "9.9 · device: cpu, cuda" in report(database_path, look)


def test_a_database_that_cannot_be_opened_is_a_finding(
    database_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(database_path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    findings = doctor.examine(str(database_path), untried)
    assert not findings["healthy"]
    assert "newer" in findings["database"]["error"]
    monkeypatch.setattr(doctor, "examine", lambda database: findings)
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--db", str(database_path)])
    assert ended.value.code == cli.EXIT_FAILED
    assert "database error" in capsys.readouterr().out
