from engine.analysis.statistics import samples_needed
from engine.analysis.table import (
    NEEDED_SAMPLES,
    change_sentence,
    environment_rows,
    footprint_rows,
    headline,
    percentile_rows,
    quality_rows,
)
from tests.dashboard.samples import sample_result, sample_runs, sample_spec
from tests.fakes import make_latency


def test_percentiles_the_sample_cannot_carry_say_what_they_need() -> None:
    result = sample_result(sample_spec()).model_copy(update={"latency": make_latency(4.0, n=100, p95_ms=None)})
    rows = {name: (mine, base) for name, mine, base in percentile_rows(result)}
    assert rows["p50"] == ("4.00 ms", "15.3 ms")
    assert rows["p95"][0] == "n/a (needs 130)"
    assert rows["p99"] == ("n/a (needs 662)", "n/a (needs 662)")


def test_a_headline_the_sample_cannot_carry_says_what_it_needs() -> None:
    short = make_latency(4.0, n=9, ci95_ms=None).model_copy(update={"p50_ms": None})
    result = sample_result(sample_spec())
    baseline = result.baseline.model_copy(update={"latency": short})
    numbers = headline(result.model_copy(update={"latency": short, "baseline": baseline}))
    assert {number.title: number.value for number in numbers}["Latency p50"] == "n/a (needs 11)"
    assert numbers[0].note.endswith("baseline n/a (needs 11)")


def test_energy_is_shown_with_its_counter_or_said_to_be_missing() -> None:
    result = sample_result(sample_spec())
    measured = {"energy_j_per_query": 0.0201, "energy_source": "RAPL package-0"}
    result = result.model_copy(update={"footprint": result.footprint.model_copy(update=measured)})
    rows = {title: (mine, base) for title, mine, base in footprint_rows(result)}
    assert rows["Energy a query"] == ("20.1 mJ (RAPL package-0)", "n/a (no counter readable)")


def test_needed_samples_are_those_of_the_rule() -> None:
    assert {name: samples_needed(float(name[1:])) for name in NEEDED_SAMPLES} == NEEDED_SAMPLES


def test_headline_has_intervals() -> None:
    spec, result = sample_runs()[10]
    numbers = {number.title: number for number in headline(result)}
    assert spec.label() == "prune-structured + int8-dynamic · onnxruntime"
    assert numbers["Speed-up"].value == "6.38x"
    assert numbers["Speed-up"].note.startswith("[6.12x, 6.63x]")
    assert numbers["Accuracy"].note.endswith("points, tied")
    assert numbers["Size on disk"].value == "18.0 MB"


def test_change_is_told_sample_by_sample() -> None:
    sentence = change_sentence(sample_runs()[10][1])
    assert "22 samples changed sides: 10 are right now, 12 are wrong now" in sentence
    assert sentence.endswith("The two are tied.")


def test_quality_and_place_are_listed() -> None:
    result = sample_runs()[10][1]
    assert quality_rows(result)[0][0] == "Accuracy"
    assert dict(environment_rows(result))["torch"] == "2.13.0"
