"""Numbers with their uncertainty, against textbook values and by simulation."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.analysis.statistics import (
    RUN_TO_RUN,
    Array,
    classification_metrics,
    compare_predictions,
    interval_of_medians,
    interval_of_rates,
    paired_speedup,
    percentile,
    predictions_of,
    samples_needed,
    summarize_latency,
    wilson,
)
from engine.errors import MeasurementError

THRESHOLDS = [(50, 11), (90, 64), (95, 130), (97, 219), (99, 662), (99.9, 6636)]


def gamma(seed: int, median_s: float, processes: int = 3, n: int = 200, drift: float = 0.0) -> list[Array]:
    """Return skewed latencies, every process with a speed of its own."""
    generator = np.random.default_rng(seed)
    speeds = median_s * np.exp(generator.normal(0, drift, processes))
    return [speed * generator.gamma(40, 1 / 39.667, n) for speed in speeds]


@pytest.mark.parametrize(("q", "needed"), THRESHOLDS)
def test_how_many_samples_a_percentile_needs(q: float, needed: int) -> None:
    assert samples_needed(q) == needed


@pytest.mark.parametrize(("q", "needed"), THRESHOLDS)
def test_a_percentile_is_shown_from_there_on(q: float, needed: int) -> None:
    assert percentile(np.arange(1.0, needed), q) is None
    samples = np.arange(1.0, needed + 1)
    assert percentile(samples, q) == pytest.approx(np.percentile(samples, q))


def test_a_latency_is_summarised_in_milliseconds() -> None:
    processes = [np.array([0.001, 0.002, 0.003, 0.010]), np.arange(1, 13) * 1e-3]
    summary, pooled = summarize_latency(processes), np.concatenate(processes) * 1e3
    assert (summary.n, summary.processes) == (16, 2)
    assert summary.p50_ms == pytest.approx(np.median(pooled))
    assert (summary.p90_ms, summary.p95_ms, summary.p99_ms) == (None, None, None)
    assert summary.mean_ms == pytest.approx(pooled.mean())
    assert summary.std_ms == pytest.approx(pooled.std(ddof=1))
    assert summary.mad_ms == pytest.approx(np.median(np.abs(pooled - np.median(pooled))))
    assert (summary.min_ms, summary.max_ms) == (pytest.approx(1), pytest.approx(12))
    assert summary.ci95_ms is not None
    assert summary.ci95_ms[0] < summary.p50_ms < summary.ci95_ms[1]


def test_outliers_are_counted_and_kept() -> None:
    samples = np.array([*np.linspace(10, 11, 100), 11.9, 20.0]) / 1e3
    summary = summarize_latency([samples])
    assert (summary.outliers_mild, summary.outliers_severe) == (2, 1)
    assert summary.max_ms == pytest.approx(20)
    assert summary.n == 102


def test_one_sample_has_no_spread() -> None:
    summary = summarize_latency([np.array([0.002])])
    assert (summary.p50_ms, summary.std_ms, summary.ci95_ms) == (None, 0.0, None)
    assert summary.mean_ms == pytest.approx(2)


BAD: list[Sequence[Array]] = [
    [],
    [np.array([])],
    [np.array([0.1]), np.array([])],
    [np.array([0.1, 0.0])],
    [np.array([0.1, -0.1])],
    [np.array([0.1, np.nan])],
    [np.array([0.1, np.inf])],
]


@pytest.mark.parametrize("processes", BAD)
def test_what_cannot_be_a_latency_is_refused(processes: Sequence[Array]) -> None:
    with pytest.raises(MeasurementError):
        summarize_latency(processes)
    with pytest.raises(MeasurementError):
        paired_speedup(processes, [np.array([0.1])] * len(processes))
    with pytest.raises(MeasurementError):
        paired_speedup([np.array([0.1])] * len(processes), processes)


def test_processes_must_come_in_pairs() -> None:
    with pytest.raises(MeasurementError, match="3 candidate processes cannot be paired with 2"):
        paired_speedup(gamma(0, 1), gamma(1, 1, processes=2))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.7])
def test_an_exact_ratio_is_found_exactly(ratio: float) -> None:
    baseline = gamma(0, 0.01)
    speedup = paired_speedup([samples / ratio for samples in baseline], baseline)
    assert speedup.value == pytest.approx(ratio)
    assert speedup.pairs == 3


def test_a_drift_that_touches_both_sides_leaves_the_ratio_alone() -> None:
    drift = (1.0, 1.7, 0.6)
    steady = paired_speedup(gamma(0, 0.002), gamma(1, 0.008))
    drifting = paired_speedup(
        [samples * factor for samples, factor in zip(gamma(0, 0.002), drift, strict=True)],
        [samples * factor for samples, factor in zip(gamma(1, 0.008), drift, strict=True)],
    )
    assert drifting.value == pytest.approx(steady.value)
    assert drifting.ci95 == pytest.approx(steady.ci95)


def test_one_pair_has_a_ratio_and_no_interval() -> None:
    one = paired_speedup(gamma(0, 0.002, processes=1), gamma(1, 0.004, processes=1))
    assert one.value == pytest.approx(2, rel=0.1)
    assert one.ci95 is None
    assert not one.is_different


@pytest.mark.parametrize(("ratio", "processes"), [(1.0, 3), (3.0, 3), (3.0, 5)])
def test_the_interval_of_a_speed_up_covers_the_truth(ratio: float, processes: int) -> None:
    """95 % is aimed at; of 150 simulated runs, 89 % would be over three standard errors below it."""
    covered = 0
    for seed in range(150):
        candidate = gamma(2 * seed, 0.006 / ratio, processes, drift=0.02)
        speedup = paired_speedup(candidate, gamma(2 * seed + 1, 0.006, processes, drift=0.02))
        assert speedup.ci95 is not None
        assert speedup.ci95[0] < speedup.value < speedup.ci95[1]
        covered += speedup.ci95[0] <= ratio <= speedup.ci95[1]
    assert covered / 150 >= 0.89


def test_equal_sides_are_seldom_told_apart() -> None:
    different = sum(
        paired_speedup(gamma(2 * seed, 0.006, drift=0.01), gamma(2 * seed + 1, 0.006, drift=0.01)).is_different
        for seed in range(100)
    )
    assert different <= 10


def test_a_real_difference_is_seen() -> None:
    assert paired_speedup(gamma(0, 0.002), gamma(1, 0.006)).is_different


@pytest.mark.parametrize("processes", [3, 5, 10])
def test_without_noise_within_processes_the_interval_is_student_s(processes: int) -> None:
    from scipy.stats import t

    logs = np.random.default_rng(processes).normal(0, 0.1, processes)
    interval = interval_of_medians([np.full(50, value) for value in np.exp(logs)])
    assert interval is not None
    reach = t.ppf(0.975, processes - 1) * logs.std(ddof=1) / math.sqrt(processes)
    assert np.log(interval) == pytest.approx([logs.mean() - reach, logs.mean() + reach], abs=0.04 * reach)


def test_more_processes_narrow_the_interval_of_the_median() -> None:
    widths = []
    for processes in (3, 10):
        interval = interval_of_medians(gamma(0, 0.006, processes, drift=0.05))
        assert interval is not None
        widths.append(math.log(interval[1] / interval[0]))
    assert widths[1] < 0.6 * widths[0]


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # Brown, Cai, DasGupta 2001
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_s_interval_is_the_published_one(successes: int, n: int, low: float, high: float) -> None:
    metric = wilson(successes, n)
    assert metric.value == pytest.approx(successes / n)
    assert metric.n == n
    assert metric.ci95 == pytest.approx((low, high), abs=5e-5)


def flipped(gained: int, lost: int, both: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return candidate, baseline and labels with that many samples won and lost."""
    labels = np.ones(gained + lost + both, dtype=np.int64)
    candidate, baseline = labels.copy(), labels.copy()
    baseline[:gained] = 0
    candidate[gained : gained + lost] = 0
    return candidate, baseline, labels


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 5, 1.0),
        (0, 6, 0.03125),
        (2, 10, 158 / 4096),
        (10, 2, 158 / 4096),
        (1, 9, 22 / 1024),
    ],
)
def test_mc_nemar_s_exact_test(gained: int, lost: int, p_value: float) -> None:
    change = compare_predictions(*flipped(gained, lost))
    assert change.p_value == pytest.approx(p_value)
    assert (change.gained, change.lost, change.flips) == (gained, lost, gained + lost)
    assert change.value == pytest.approx((gained - lost) / (gained + lost + 20))
    assert change.agreement == pytest.approx(20 / (gained + lost + 20))


def test_two_wrong_answers_that_differ_are_no_flip_and_no_agreement() -> None:
    change = compare_predictions(np.array([1, 0]), np.array([2, 0]), np.array([0, 0]))
    assert (change.flips, change.value, change.agreement, change.p_value) == (0, 0.0, 0.5, 1.0)


def one_hot(predictions: list[int], classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[predictions]


def test_scores_of_a_classifier() -> None:
    metrics = classification_metrics(one_hot([0, 0, 1, 1, 1, 0], 2), np.array([0, 0, 1, 1, 0, 1]))
    assert metrics["accuracy"].value == pytest.approx(4 / 6)
    for name in ("macro_precision", "macro_recall", "macro_f1", "roc_auc"):
        assert metrics[name].value == pytest.approx(2 / 3)
        assert metrics[name].n == 6


def test_macro_averages_weigh_classes_and_not_samples() -> None:
    metrics = classification_metrics(one_hot([0] * 10, 2), np.array([0] * 9 + [1]))
    assert metrics["accuracy"].value == pytest.approx(0.9)
    assert metrics["macro_recall"].value == pytest.approx(0.5)
    assert metrics["macro_precision"].value == pytest.approx(0.45)
    assert metrics["roc_auc"].value == pytest.approx(0.5)


def test_the_area_follows_the_scores_and_not_the_answers() -> None:
    logits = np.array([[0, 1], [0, 2], [0, 3], [0, 4]], dtype=np.float32)
    metrics = classification_metrics(logits, np.array([0, 0, 1, 1]))
    assert metrics["accuracy"].value == pytest.approx(0.5)
    assert metrics["roc_auc"].value == pytest.approx(1.0)


def test_many_classes_have_an_area_too() -> None:
    metrics = classification_metrics(one_hot([0, 1, 2, 0, 1, 2], 3), np.array([0, 1, 2, 0, 1, 2]))
    assert metrics["roc_auc"].value == pytest.approx(1.0)


def test_a_test_set_of_one_class_has_no_area() -> None:
    metrics = classification_metrics(one_hot([0, 0, 1], 2), np.zeros(3, np.int64))
    assert metrics["roc_auc"].value is None
    assert metrics["accuracy"].value == pytest.approx(2 / 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_number_is_no_answer(bad: float) -> None:
    """NumPy's argmax takes a NaN for the largest, so that class 0 or 1 would be right half of the time."""
    logits = one_hot([0, 1, 1], 2)
    logits[0, 1] = logits[2, 0] = bad
    assert predictions_of(logits).tolist() == [-1, 1, -1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_answers_that_are_no_numbers_count_as_wrong_and_have_no_area(bad: float) -> None:
    logits = one_hot([0, 1, 0, 1], 2)
    logits[0] = bad
    metrics = classification_metrics(logits, np.array([0, 1, 0, 1]))
    assert metrics["accuracy"].value == pytest.approx(3 / 4)
    assert metrics["macro_recall"].value == pytest.approx((1 / 2 + 1) / 2)
    assert metrics["macro_precision"].value == pytest.approx(1.0), "there is no class of its own for no answer"
    assert metrics["roc_auc"].value is None


def test_no_answer_at_all_is_an_accuracy_of_zero() -> None:
    metrics = classification_metrics(np.full((4, 2), np.nan, np.float32), np.array([0, 1, 0, 1]))
    assert metrics["roc_auc"].value is None
    for name in ("accuracy", "macro_precision", "macro_recall", "macro_f1"):
        assert (metrics[name].value, metrics[name].n) == (0.0, 4)


def test_no_answer_is_a_loss_against_a_baseline_that_had_one() -> None:
    change = compare_predictions(np.array([-1, -1]), np.array([0, 1]), np.array([0, 0]))
    assert (change.lost, change.gained, change.agreement, change.value) == (1, 0, 0.0, -0.5)


EQUAL = [np.full(50, 0.004)] * 3


def test_times_that_are_all_equal_have_an_interval_without_width() -> None:
    """A coarse clock gives such times; neither the bootstrap nor its warnings may stumble over them."""
    summary = summarize_latency(EQUAL)
    assert (summary.p50_ms, summary.std_ms, summary.mad_ms) == (pytest.approx(4), pytest.approx(0), pytest.approx(0))
    assert (summary.outliers_mild, summary.outliers_severe) == (0, 0)
    assert summary.ci95_ms == (pytest.approx(4), pytest.approx(4))
    assert paired_speedup(EQUAL, EQUAL).ci95 == (pytest.approx(1), pytest.approx(1))
    speedup = paired_speedup(EQUAL, [samples * 2 for samples in EQUAL])
    assert speedup.value == pytest.approx(2)
    assert speedup.is_different
    assert not paired_speedup(EQUAL, EQUAL).is_different
    assert interval_of_rates(EQUAL) == (pytest.approx(250), pytest.approx(250))


def test_what_differs_much_is_less_certain_from_run_to_run_and_equals_are_not() -> None:
    """The pairs of one run share the machine's state; repeats of a large ratio differ by more than they show."""
    for ratio in (1.0, 2.0, 8.0):
        interval = paired_speedup(EQUAL, [samples * ratio for samples in EQUAL]).ci95
        assert interval is not None
        reach = 1.96 * RUN_TO_RUN * np.log(ratio)
        assert np.log(interval) == pytest.approx([np.log(ratio) - reach, np.log(ratio) + reach], abs=1e-4)


def test_passes_over_the_same_queries_leave_their_lengths_out_of_the_interval() -> None:
    """Queries of 1 to 100 ms on both sides: which of them were drawn says nothing about the ratio."""
    generator = np.random.default_rng(3)
    lengths = np.geomspace(0.001, 0.1, 50)

    def side(factor: float) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
        return [np.tile(lengths, 6) * factor * generator.normal(1, 0.01, 300) for _ in range(4)]

    candidate, baseline = side(1.0), side(1.03)
    paired, unpaired = (paired_speedup(candidate, baseline, queries) for queries in (50, None))
    assert paired.value == pytest.approx(1.03, rel=0.005)
    assert paired.ci95 is not None
    assert unpaired.ci95 is not None
    assert paired.ci95[1] - paired.ci95[0] < 0.02 < unpaired.ci95[1] - unpaired.ci95[0]


def test_a_rate_has_an_interval_over_processes() -> None:
    processes = [np.full(20, seconds) for seconds in (0.0040, 0.0041, 0.0042)]
    interval = interval_of_rates(processes)
    assert interval is not None
    low, high = interval
    assert low < 1 / 0.0041 < high
    assert 200 < low < 1 / 0.0042
    assert 1 / 0.0040 < high < 300


def test_one_process_has_no_interval_of_anything() -> None:
    one = [gamma(0, 0.004, processes=1)[0]]
    assert interval_of_rates(one) is None
    assert interval_of_medians(one) is None
    assert summarize_latency(one).ci95_ms is None


def test_one_class_leaves_the_other_scores_defined() -> None:
    metrics = classification_metrics(one_hot([1, 1, 1], 2), np.ones(3, np.int64))
    assert metrics["roc_auc"].value is None
    assert {metrics[name].value for name in ("accuracy", "macro_precision", "macro_recall", "macro_f1")} == {1.0}
