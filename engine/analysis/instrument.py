"""What is known of the instrument: its machines, their proofs, and what was seen while a run was timed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.analysis.wording import Say, in_english
from engine.results import Capability, Environment, MachineRecord, RunResult, SelfCheck, TimingPlan
from engine.spec import Effort
from engine.units import MISSING, format_bytes, format_seconds, format_share

UNREADABLE = "cannot be read on this machine"
BANDS = ("steady", "fair", "wide", "very wide")
"""How steady a latency is, as :attr:`engine.results.LatencySummary.steadiness` says."""


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


def machine_rows(instrument: Instrument, say: Say = in_english) -> list[tuple[str, str]]:
    """Return what a machine is."""
    place = instrument.environment
    memory = format_bytes(place.memory_limit_bytes or place.memory_bytes)
    limited = say("{memory}, by a limit").format(memory=memory)
    return [
        (say("Processor"), place.cpu_model),
        (say("Cores"), str(place.cores)),
        (say("Memory"), limited if place.memory_limit_bytes else memory),
        (say("Instruction sets"), " ".join(place.isa_flags) or MISSING),
        (say("Platform"), f"{place.platform}, Python {place.python}"),
        (say("Machine"), instrument.machine),
    ]


def backend_rows(instrument: Instrument, say: Say = in_english) -> list[tuple[str, str]]:
    """Return each backend with its version and devices, or with what would enable it."""
    return [(entry.backend, _capability(entry, say)) for entry in instrument.capabilities]


def check_rows(check: SelfCheck) -> list[tuple[str, str, str, bool]]:
    """Return name, expected, seen and whether it passed for everything a self-check tried."""
    return [(entry.name, entry.expected, entry.seen, entry.passed) for entry in check.checks]


def check_facts(check: SelfCheck, say: Say = in_english) -> str:
    """Return with what a machine was checked: ``"fashion-mlp on onnxruntime, quick effort, 1 min 50 s"``."""
    words = say("{model} on {backend}, {effort} effort, {time}")
    time = format_seconds(check.seconds)
    return words.format(model=check.model, backend=check.backend, effort=say(check.effort.value), time=time)


def timing_rows(result: RunResult, effort: Effort, say: Say = in_english) -> list[tuple[str, str]]:
    """Return how much timing a run rests on and what disturbed it; nothing for what its release did not record."""
    asked = say(effort.value)
    latency = result.latency
    spread = say("{share} of the mean: {band}")
    rows = [
        (say("Effort"), asked if result.timing is None else f"{asked}: {_plan(result.timing, say)}"),
        (say("Spread"), spread.format(share=format_share(latency.spread), band=say(latency.steadiness))),
    ]
    seen = result.disturbance
    if seen is None:
        return rows
    moves = None if seen.migrations is None else f"{seen.migrations:.1f}"
    return [
        *rows,
        (say("Other programs"), _of_cores(seen.foreign_share, say)),
        (say("Hypervisor steal"), _of_cores(seen.steal_share, say)),
        (say("Moves between cores"), say(UNREADABLE) if moves is None else say("{n} a second").format(n=moves)),
        (say("Clock drift"), say(UNREADABLE) if seen.clock_drift is None else format_share(seen.clock_drift)),
        (say("Pinned"), say("yes") if seen.pinned else say("no")),
    ]


def _capability(entry: Capability, say: Say) -> str:
    if not entry.available:
        return entry.reason or say("not available")
    providers = ", ".join(entry.choices.get("provider", ()))
    parts = (", ".join(entry.devices), say("providers {names}").format(names=providers) if providers else "")
    found = "; ".join(part for part in parts if part)
    if not (entry.version and found):
        return entry.version or found or say("available")
    return say("{version} on {devices}").format(version=entry.version, devices=found)


def _plan(plan: TimingPlan, say: Say) -> str:
    least = {"n": f"{plan.min_iterations:,}", "seconds": f"{plan.min_seconds:.1f}"}
    if plan.pairs == 1:
        return say("1 pair, at least {n} queries and {seconds} s each").format(**least)
    return say("{pairs} pairs, at least {n} queries and {seconds} s each").format(pairs=plan.pairs, **least)


def _of_cores(share: float | None, say: Say) -> str:
    return say(UNREADABLE) if share is None else say("{share} of the timed cores").format(share=format_share(share))
