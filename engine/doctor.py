"""What ``doctor`` says: the machine, the runtimes and what is missing for each, the database's health."""

from typing import Any

from rich.console import Group
from rich.table import Table

from engine.backends import BACKENDS
from engine.capabilities import Look, this_machine
from engine.errors import StoreError
from engine.probe import probe
from engine.resolve import missing_packages
from engine.results import MachineRecord
from engine.store.store import Store
from engine.techniques import TECHNIQUES
from engine.techniques.base import Technique
from engine.units import format_bytes


def examine(database: str, look: Look = probe) -> dict[str, Any]:
    """Return everything as one document; a database that cannot be opened is a finding, not an error.

    Args:
        database: the database's file or URL.
        look: finds out what one backend can do; nothing found earlier is believed.
    """
    machine = this_machine(look, anew=True)
    return {
        "machine": machine.environment.model_dump(mode="json"),
        "backends": [capability.model_dump(mode="json") for capability in machine.capabilities],
        "techniques": [_technique(technique) for technique in TECHNIQUES],
        "database": _database(database),
        "healthy": _is_healthy(machine, database),
    }


def report(findings: dict[str, Any]) -> Group:
    """Return the document as tables."""
    machine, table = findings["machine"], Table.grid(padding=(0, 2))
    table.add_row("processor", f"{machine['cpu_model']}, {machine['cores']} cores")
    table.add_row("instructions", ", ".join(machine["isa_flags"]) or "none that speeds low precision up")
    table.add_row("memory", format_bytes(machine["memory_limit_bytes"] or machine["memory_bytes"]))
    table.add_row("python", f"{machine['python']} on {machine['platform']}")
    for backend in findings["backends"]:
        table.add_row(f"backend {backend['backend']}", _finding(backend))
    for technique in findings["techniques"]:
        if technique["missing"]:
            table.add_row(f"technique {technique['name']}", f"needs: pip install {' '.join(technique['missing'])}")
    for name, value in findings["database"].items():
        table.add_row(f"database {name}", str(value))
    return Group(table)


def _finding(backend: dict[str, Any]) -> str:
    """Return a backend's version with what answered, or what would enable it."""
    if not backend["available"]:
        return str(backend["reason"])
    answered = [f"{option}: {', '.join(values)}" for option, values in backend["choices"].items()]
    return " · ".join([backend["version"], *answered])


def _technique(technique: Technique[Any]) -> dict[str, Any]:
    missing = missing_packages(technique)
    return {"name": technique.name, "available": not missing, "missing": missing}


def _database(database: str) -> dict[str, str]:
    try:
        store = Store(database)
        try:
            return store.health()
        finally:
            store.close()
    except StoreError as error:
        return {"error": str(error)}


def _is_healthy(machine: MachineRecord, database: str) -> bool:
    """Tell whether all is there that every installation has; optional runtimes may be missing."""
    backends = [(BACKENDS.get(capability.backend), capability) for capability in machine.capabilities]
    needed = [capability for backend, capability in backends if backend.extra is None and not backend.requirements]
    return all(capability.available for capability in needed) and "error" not in _database(database)
