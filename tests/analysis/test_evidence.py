import numpy as np

from engine.analysis.evidence import confusion, flips, latency_curves
from engine.results import RawData
from tests.dashboard.samples import sample_raw


def raw(**arrays: object) -> RawData:
    return RawData(arrays={name: np.asarray(values) for name, values in arrays.items()})


def test_confusion_counts_true_by_predicted() -> None:
    found = confusion(raw(labels=[0, 0, 1, 2], predictions=[0, 1, 1, 0]))
    assert found is not None
    assert found.counts == ((1, 1, 0), (0, 1, 0), (1, 0, 0))


def test_confusion_is_left_out_where_it_cannot_be_shown() -> None:
    assert confusion(raw()) is None
    assert confusion(raw(labels=[0, 40], predictions=[0, 40])) is None


def test_flips_are_the_samples_that_changed_sides() -> None:
    found = flips(raw(labels=[0, 1, 1, 0], predictions=[0, 0, 1, 1], baseline_predictions=[1, 1, 1, 1]))
    assert found is not None
    assert (found.gained, found.lost) == ((0,), (1,))
    assert flips(raw(labels=[0], predictions=[0])) is None


def test_curves_are_sorted_milliseconds_for_all_and_for_each_process() -> None:
    mine, base = latency_curves(sample_raw())
    assert (mine.name, base.name) == ("this run", "baseline")
    assert len(mine.by_process_ms) == 3
    assert list(mine.all_ms) == sorted(mine.all_ms)
    assert mine.all_ms[-1] == float(sample_raw().arrays["candidate_latency_s"].max()) * 1e3
    assert mine.shares[0] == 0
    assert mine.shares[-1] == 1


def test_no_samples_give_no_curve() -> None:
    assert latency_curves(raw()) == []
