from datetime import UTC, datetime

import pytest

from engine.analysis.instrument import (
    UNREADABLE,
    backend_rows,
    check_facts,
    check_rows,
    instruments,
    last_check,
    machine_rows,
    timing_rows,
)
from engine.results import Disturbance, MachineRecord, TimingPlan
from engine.spec import Effort
from tests.fakes import MACHINE, make_environment, make_latency, make_machine, make_result, make_selfcheck

PLAN = TimingPlan(pairs=3, min_iterations=1100, min_seconds=1, warmup_seconds=0.5)
SEEN = Disturbance(foreign_share=0.0123, steal_share=0.001, migrations=0.3, clock_drift=0.021, pinned=True)
DARK = Disturbance(foreign_share=None, steal_share=None, migrations=None, clock_drift=None, pinned=False)


def test_a_machine_is_joined_with_its_last_check_and_one_known_from_a_check_alone_is_added() -> None:
    mine, other = make_selfcheck(), make_selfcheck("m-other", datetime(2026, 2, 1, tzinfo=UTC))
    first, second, third = instruments([make_machine("m-new"), make_machine()], [other, mine])
    assert (first.machine, first.check) == ("m-new", None)
    assert (second.machine, second.check) == (MACHINE, mine)
    assert (third.machine, third.capabilities, third.seen_at) == ("m-other", (), other.checked_at)
    assert last_check([mine], "m-other") is None


def test_a_machine_says_what_it_is() -> None:
    (instrument,) = instruments([make_machine()], [])
    rows = dict(machine_rows(instrument))
    assert (rows["Processor"], rows["Cores"], rows["Memory"]) == ("Sample CPU", "2", "8.59 GB")
    assert rows["Instruction sets"] == "avx2 avx512_vnni"


def test_a_limit_of_memory_is_what_counts() -> None:
    environment = make_environment(memory_limit_bytes=2_000_000_000)
    record = MachineRecord(machine=MACHINE, environment=environment, capabilities=(), seen_at=datetime.now(UTC))
    (instrument,) = instruments([record], [])
    assert dict(machine_rows(instrument))["Memory"] == "2.00 GB, by a limit"


def test_backends_have_a_version_or_the_way_to_get_them() -> None:
    (instrument,) = instruments([make_machine()], [])
    assert backend_rows(instrument) == [("torch", "2.13.0 on cpu"), ("onnxruntime", "pip install onnxruntime")]


def test_a_check_says_what_had_to_come_out_and_what_did() -> None:
    failed = make_selfcheck(passed=False)
    assert check_rows(failed)[1] == ("a known delay", "2.00x, within 5 %", "1.40x", False)
    assert check_facts(failed) == "fashion-mlp on onnxruntime, quick effort, 1 min 50 s"


def test_what_disturbed_a_timing_is_told() -> None:
    rows = timing_rows(make_result(timing=PLAN, disturbance=SEEN), Effort.QUICK)
    assert rows == [
        ("Effort", "quick: 3 pairs, at least 1,100 queries and 1.0 s each"),
        ("Spread", "9.5 % of the mean: fair"),
        ("Other programs", "1.2 % of the timed cores"),
        ("Hypervisor steal", "0.1 % of the timed cores"),
        ("Moves between cores", "0.3 a second"),
        ("Clock drift", "2.1 %"),
        ("Pinned", "yes"),
    ]


def test_what_cannot_be_read_is_not_called_zero() -> None:
    rows = dict(timing_rows(make_result(timing=PLAN, disturbance=DARK), Effort.QUICK))
    assert [name for name, value in rows.items() if value == UNREADABLE] == [
        "Other programs",
        "Hypervisor steal",
        "Moves between cores",
        "Clock drift",
    ]
    assert rows["Pinned"] == "no"


def test_of_a_run_recorded_without_it_only_effort_and_spread_are_known() -> None:
    rows = timing_rows(make_result(), Effort.STANDARD)
    assert rows == [("Effort", "standard"), ("Spread", "9.5 % of the mean: fair")]


@pytest.mark.parametrize(
    ("std_ms", "band"), [(0.0, "steady"), (0.09, "steady"), (0.1, "fair"), (0.2, "wide"), (0.4, "very wide")]
)
def test_the_spread_has_bands_at_5_10_and_20_percent(std_ms: float, band: str) -> None:
    assert make_latency(mean_ms=2.0, std_ms=std_ms).steadiness == band
