"""Energy from made-up counters: where there are none, or none may be read, there is no number."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.measure.energy import Counter, Meter, counters

PACKAGE = "intel-rapl:0"


def zone(folder: Path, microjoules: int, *, name: str = "package-0", wraps_at: int | None = 262_143_328_850) -> Path:
    """Write one RAPL zone as Linux shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    if wraps_at is not None:
        (folder / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    return folder


def test_a_package_is_counted_in_joules(tmp_path: Path) -> None:
    package = zone(tmp_path / PACKAGE, 5_000_000)
    meter = Meter(counters("cpu", tmp_path))
    zone(package, 7_500_000)
    assert meter.joules() == pytest.approx(2.5)
    assert meter.source == "RAPL package-0"


def test_two_packages_are_added(tmp_path: Path) -> None:
    zone(tmp_path / PACKAGE, 0)
    zone(tmp_path / "intel-rapl:1", 0, name="package-1")
    meter = Meter(counters("cpu", tmp_path))
    zone(tmp_path / PACKAGE, 1_000_000)
    zone(tmp_path / "intel-rapl:1", 2_000_000, name="package-1")
    assert meter.joules() == pytest.approx(3)
    assert meter.source == "RAPL package-0, RAPL package-1"


def test_parts_of_a_package_are_not_counted_twice(tmp_path: Path) -> None:
    """Linux shows the cores and the memory of a package beside it as well as within it."""
    zone(tmp_path / PACKAGE, 0)
    for part, name in enumerate(("core", "dram")):
        zone(tmp_path / f"{PACKAGE}:{part}", 0, name=name)
        zone(tmp_path / PACKAGE / f"{PACKAGE}:{part}", 0, name=name)
    (tmp_path / "intel-rapl").mkdir()
    assert [counter.name for counter in counters("cpu", tmp_path)] == ["RAPL package-0"]


@pytest.mark.parametrize(
    ("before", "after", "wraps_at", "joules"),
    [(9_000_000, 1_000_000, 10_000_000, 2.0), (9_000_000, 1_000_000, None, 0.0), (3_000_000, 3_000_000, None, 0.0)],
)
def test_a_counter_that_began_anew_is_followed(
    before: int, after: int, wraps_at: int | None, joules: float, tmp_path: Path
) -> None:
    package = zone(tmp_path / PACKAGE, before, wraps_at=wraps_at)
    meter = Meter(counters("cpu", tmp_path))
    zone(package, after, wraps_at=wraps_at)
    assert meter.joules() == pytest.approx(joules)


def refused() -> float:
    raise PermissionError("energy_uj is root's alone")


def test_a_counter_that_may_not_be_read_gives_no_number() -> None:
    meter = Meter([Counter("RAPL package-0", refused)])
    assert meter.joules() is None
    assert meter.source == ""


def test_a_counter_that_can_be_read_counts_beside_one_that_cannot() -> None:
    readings = iter([1.0, 4.0])
    meter = Meter([Counter("RAPL package-0", refused), Counter("NVML gpu 0", lambda: next(readings))])
    assert (meter.joules(), meter.source) == (3.0, "NVML gpu 0")


def test_a_counter_that_goes_away_gives_no_number(tmp_path: Path) -> None:
    package = zone(tmp_path / PACKAGE, 5)
    meter = Meter(counters("cpu", tmp_path))
    (package / "energy_uj").unlink()
    assert meter.joules() is None


def test_a_counter_that_says_nonsense_gives_no_number(tmp_path: Path) -> None:
    package = zone(tmp_path / PACKAGE, 5)
    (package / "energy_uj").write_text("")
    assert Meter(counters("cpu", tmp_path)).joules() is None


def test_a_zone_without_a_name_goes_by_its_folder(tmp_path: Path) -> None:
    (zone(tmp_path / PACKAGE, 5) / "name").unlink()
    (counter,) = counters("cpu", tmp_path)
    assert counter.name == f"RAPL {PACKAGE}"


def test_a_machine_without_counters_gives_no_number(tmp_path: Path) -> None:
    assert counters("cpu", tmp_path / "gone") == []
    assert Meter([]).joules() is None


class NVMLError(Exception):
    """Raised by the made-up module, as the real one has its own."""


class FakeNvml:
    """The three functions of ``pynvml`` that count energy, of two GPUs."""

    NVMLError = NVMLError

    def __init__(self, *, driver: bool = True, counts: bool = True) -> None:
        self.driver, self.counts = driver, counts
        self.millijoules = [1_000, 2_000]

    def nvmlInit(self) -> None:  # noqa: N802 - the library's name
        if not self.driver:
            raise NVMLError("driver not loaded")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802 - the library's name
        if index >= len(self.millijoules):
            raise NVMLError("no such GPU")
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802 - the library's name
        if not self.counts:
            raise NVMLError("not supported")
        return self.millijoules[handle]


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_gpu_counts_its_own_millijoules(device: str, index: int, tmp_path: Path) -> None:
    nvml = FakeNvml()
    meter = Meter(counters(device, tmp_path, nvml))
    nvml.millijoules[index] += 1_500
    nvml.millijoules[1 - index] += 99_000
    assert meter.joules() == pytest.approx(1.5)
    assert meter.source == f"NVML gpu {index}"


def test_a_gpu_s_energy_is_added_to_its_processor_s(tmp_path: Path) -> None:
    zone(tmp_path / PACKAGE, 0)
    nvml = FakeNvml()
    meter = Meter(counters("cuda", tmp_path, nvml))
    zone(tmp_path / PACKAGE, 1_000_000)
    nvml.millijoules[0] += 2_000
    assert meter.joules() == pytest.approx(3)
    assert meter.source == "RAPL package-0, NVML gpu 0"


@pytest.mark.parametrize("nvml", [FakeNvml(driver=False), FakeNvml(counts=False)])
def test_a_gpu_that_does_not_count_gives_no_number(nvml: FakeNvml, tmp_path: Path) -> None:
    assert Meter(counters("cuda", tmp_path, nvml)).joules() is None


def test_a_gpu_that_is_not_there_gives_no_number(tmp_path: Path) -> None:
    assert counters("cuda:7", tmp_path, FakeNvml()) == []


def test_a_processor_s_energy_asks_no_gpu(tmp_path: Path) -> None:
    assert counters("cpu", tmp_path, SimpleNamespace()) == []


def test_without_the_package_there_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert counters("cuda", tmp_path) == []


def test_what_others_use_between_turns_is_left_out(tmp_path: Path) -> None:
    package = zone(tmp_path / PACKAGE, 0)
    meter = Meter(counters("cpu", tmp_path))
    zone(package, 1_000_000)
    meter.pause()
    zone(package, 50_000_000)
    meter.resume()
    zone(package, 52_000_000)
    assert meter.joules() == pytest.approx(3)
