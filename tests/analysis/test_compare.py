from typing import Any

import numpy as np
import pytest

from engine.analysis.compare import Comparison, Difference, answers_change, compare_runs, latency_ratio
from engine.errors import ContradictionError, InvalidValueError
from engine.results import RawData, RunRecord, Status
from tests.dashboard.samples import (
    sample_context,
    sample_raw,
    sample_record,
    sample_records,
    sample_result,
    sample_spec,
)

RECORDS = [record for record in sample_records() if record.spec.model == "minilm-l6"]


def verdicts(found: Comparison, name: str) -> list[Difference]:
    (row,) = (row for row in found.metrics if row.info.name == name)
    return [number.difference for number in row.numbers]


def raw_with(**changes: Any) -> RawData:
    return RawData(arrays={**sample_raw().arrays, **changes})


def compared(*places: int) -> Comparison:
    records = [RECORDS[place] for place in places]
    return compare_runs(records, [sample_raw() for _ in records])


def test_the_first_run_is_the_reference() -> None:
    found = compared(0, 5)
    assert verdicts(found, "latency_p50_ms") == [Difference.REFERENCE, Difference.BETTER]
    assert verdicts(found, "size_bytes") == [Difference.REFERENCE, Difference.BETTER]
    assert verdicts(compared(5, 0), "latency_p50_ms")[1] is Difference.WORSE


def test_speeds_of_one_model_are_compared_over_the_baseline_they_share() -> None:
    (row,) = (row for row in compared(3, 9).metrics if row.info.name == "latency_p50_ms")
    assert row.numbers[1].difference is Difference.TIED, "3.2 and 3.3 ms with 4 % intervals"
    assert row.numbers[1].evidence == "0.97x as fast, by speed-ups over the same baseline"


def test_speeds_of_two_models_are_compared_by_bootstrap() -> None:
    spec = sample_spec(model="minilm-l12")
    other = sample_record(50, spec, sample_result(spec, 30.0))
    slow = raw_with(candidate_latency_s=sample_raw().arrays["candidate_latency_s"] * 3)
    found = compare_runs([RECORDS[1], other], [sample_raw(), slow])
    (row,) = (row for row in found.metrics if row.info.name == "latency_p50_ms")
    assert (row.numbers[1].difference, row.numbers[1].evidence) == (
        Difference.WORSE,
        "0.33x as fast, by bootstrap of the medians",
    )


def test_answers_are_compared_sample_by_sample() -> None:
    labels = sample_raw().arrays["labels"]
    right, some_wrong = labels.copy(), labels.copy()
    some_wrong[:30] = 1 - some_wrong[:30]
    raws = [raw_with(predictions=right), raw_with(predictions=some_wrong)]
    found = compare_runs(RECORDS[:2], raws)
    assert verdicts(found, "accuracy")[1] in (Difference.BETTER, Difference.WORSE)
    assert found.disagreed == tuple(range(30))
    assert found.agreement == ((1.0, 0.85), (0.85, 1.0))
    same = compare_runs(RECORDS[:2], [raws[0], raws[0]])
    assert verdicts(same, "accuracy")[1] is Difference.TIED
    assert same.disagreed == ()


def test_a_change_is_that_of_the_first_against_the_second() -> None:
    labels = sample_raw().arrays["labels"]
    change = answers_change(raw_with(predictions=labels), raw_with(predictions=1 - labels))
    assert change is not None
    assert (change.gained, change.lost, change.value) == (len(labels), 0, 1.0)
    assert answers_change(sample_raw(), raw_with(labels=1 - labels)) is None
    assert answers_change(sample_raw(), RawData(arrays={})) is None


def test_a_run_that_takes_twice_as_long_is_found_with_its_interval() -> None:
    double = raw_with(candidate_latency_s=sample_raw().arrays["candidate_latency_s"] * 2)
    found = latency_ratio(double, sample_raw())
    assert found is not None
    ratio, interval = found
    assert ratio == pytest.approx(2)
    assert interval is not None
    assert interval[0] < 2 < interval[1]
    assert latency_ratio(double, RawData(arrays={})) is None


def test_one_process_has_no_interval() -> None:
    alone = RawData(arrays={"candidate_latency_s": np.full(20, 0.002)})
    assert latency_ratio(alone, alone) == (1.0, None)


def test_times_of_other_conditions_are_not_judged_but_answers_are() -> None:
    spec = sample_spec()
    elsewhere = sample_record(50, spec, sample_result(spec, 3.0, context=sample_context(threads=8)))
    found = compare_runs([RECORDS[0], elsewhere], [sample_raw(), sample_raw()])
    assert found.differing == ("threads",)
    assert verdicts(found, "latency_p50_ms")[1] is Difference.UNKNOWN
    assert verdicts(found, "accuracy")[1] is Difference.TIED


def test_answers_to_other_samples_are_not_compared() -> None:
    vision = next(record for record in sample_records() if record.spec.model == "fashion-mlp")
    found = compare_runs([RECORDS[0], vision], [sample_raw(), sample_raw()])
    assert verdicts(found, "accuracy")[1] is Difference.UNKNOWN
    assert found.agreement[0] == (1.0, None)
    assert found.disagreed == ()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_too_few_or_too_many_are_refused(count: int) -> None:
    with pytest.raises(InvalidValueError, match="Two to six"):
        compare_runs(RECORDS[:count], [sample_raw()] * count)


def test_a_run_without_a_result_is_refused_by_its_number() -> None:
    failed: RunRecord = sample_record(77, status=Status.FAILED)
    with pytest.raises(ContradictionError, match="Run 77 has no result"):
        compare_runs([RECORDS[0], failed], [sample_raw(), sample_raw()])
