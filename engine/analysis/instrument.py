"""What is known of the instrument: its machines, their proofs, and what was seen while a run was timed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.results import Capability, Environment, MachineRecord, RunResult, SelfCheck, TimingPlan
from engine.spec import Effort
from engine.units import MISSING, format_bytes, format_seconds, format_share

UNREADABLE = "cannot be read on this machine"


@dataclass(frozen=True)
class Instrument:
    """One machine: what it is, what it can run, and the last proof that it measures rightly."""

    machine: str
    environment: Environment
    capabilities: tuple[Capability, ...]
    """Empty where no engine has described itself there."""
    seen_at: datetime
    check: SelfCheck | None


def instruments(machines: Sequence[MachineRecord], checks: Sequence[SelfCheck]) -> list[Instrument]:
    """Return every machine in the order given, then those known from a self-check alone."""
    known = {record.machine for record in machines}
    described = [
        Instrument(
            machine=record.machine,
            environment=record.environment,
            capabilities=record.capabilities,
            seen_at=record.seen_at,
            check=last_check(checks, record.machine),
        )
        for record in machines
    ]
    return described + [
        Instrument(check.machine, check.environment, (), check.checked_at, check)
        for check in checks
        if check.machine not in known
    ]


def last_check(checks: Sequence[SelfCheck], machine: str) -> SelfCheck | None:
    """Return the self-check of a machine, if there is one."""
    return next((check for check in checks if check.machine == machine), None)


def machine_rows(instrument: Instrument) -> list[tuple[str, str]]:
    """Return what a machine is."""
    place = instrument.environment
    memory = format_bytes(place.memory_limit_bytes or place.memory_bytes)
    return [
        ("Processor", place.cpu_model),
        ("Cores", str(place.cores)),
        ("Memory", f"{memory}, by a limit" if place.memory_limit_bytes else memory),
        ("Instruction sets", " ".join(place.isa_flags) or MISSING),
        ("Platform", f"{place.platform}, Python {place.python}"),
        ("Machine", instrument.machine),
    ]


def backend_rows(instrument: Instrument) -> list[tuple[str, str]]:
    """Return each backend with its version and devices, or with what would enable it."""
    return [(entry.backend, _capability(entry)) for entry in instrument.capabilities]


def check_rows(check: SelfCheck) -> list[tuple[str, str, str, bool]]:
    """Return name, expected, seen and whether it passed for everything a self-check tried."""
    return [(entry.name, entry.expected, entry.seen, entry.passed) for entry in check.checks]


def check_facts(check: SelfCheck) -> str:
    """Return with what a machine was checked: ``"fashion-mlp on onnxruntime, quick effort, 1 min 50 s"``."""
    return f"{check.model} on {check.backend}, {check.effort.value} effort, {format_seconds(check.seconds)}"


def timing_rows(result: RunResult, effort: Effort) -> list[tuple[str, str]]:
    """Return how much timing a run rests on and what disturbed it; nothing for what its release did not record."""
    rows = [("Effort", effort.value if result.timing is None else f"{effort.value}: {_plan(result.timing)}")]
    latency = result.latency
    rows.append(("Spread", f"{format_share(latency.spread)} of the mean: {latency.steadiness}"))
    seen = result.disturbance
    if seen is None:
        return rows
    return [
        *rows,
        ("Other programs", _of_cores(seen.foreign_share)),
        ("Hypervisor steal", _of_cores(seen.steal_share)),
        ("Moves between cores", UNREADABLE if seen.migrations is None else f"{seen.migrations:.1f} a second"),
        ("Clock drift", UNREADABLE if seen.clock_drift is None else format_share(seen.clock_drift)),
        ("Pinned", "yes" if seen.pinned else "no"),
    ]


def _capability(entry: Capability) -> str:
    if not entry.available:
        return entry.reason or "not available"
    providers = f"providers {', '.join(entry.choices['provider'])}" if "provider" in entry.choices else ""
    found = "; ".join(part for part in (", ".join(entry.devices), providers) if part)
    return " on ".join(part for part in (entry.version, found) if part) or "available"


def _plan(plan: TimingPlan) -> str:
    pairs = "1 pair" if plan.pairs == 1 else f"{plan.pairs} pairs"
    return f"{pairs}, at least {plan.min_iterations:,} queries and {plan.min_seconds:.1f} s each"


def _of_cores(share: float | None) -> str:
    return UNREADABLE if share is None else f"{format_share(share)} of the timed cores"
