import pytest

from engine.analysis.comparability import context_label, context_labels, differing_keys, require_one_context
from engine.errors import ContradictionError
from tests.fakes import make_context


def test_one_context_is_returned() -> None:
    assert require_one_context([make_context(), make_context()]) == make_context()


def test_a_mix_is_refused_with_the_keys_and_values_named() -> None:
    with pytest.raises(ContradictionError, match="batch_size: 1 and 8; threads: 1 and 2"):
        require_one_context([make_context(), make_context(threads=1, batch_size=8)])


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(ContradictionError, match="no finished run"):
        require_one_context([])


def test_differing_keys_come_in_the_order_of_a_context() -> None:
    others = [make_context(threads=1), make_context(dataset="mine")]
    assert differing_keys([make_context(), *others]) == ["dataset", "threads"]
    assert differing_keys([make_context()]) == []


def test_label_names_data_batch_processor_and_samples() -> None:
    label = context_label(make_context(), "Sample CPU")
    assert label == "fashion-mnist · batch 1 · Sample CPU, 2 threads · 4,000 test samples"
    assert context_label(make_context(dataset="mine@0123abcd")).startswith("mine · ")
    assert "cpu, 1 thread " in context_label(make_context(threads=1))


def test_labels_that_would_be_equal_are_told_apart() -> None:
    one, other = make_context(), make_context(machine="m-fedcba9876543210")
    labels = context_labels([one, other, make_context(threads=1)], {})
    assert len(set(labels.values())) == 3
    assert "machine m-fedcba9876" in labels[other.key]
    assert "machine" not in labels[make_context(threads=1).key]


def test_words_are_not_cut_off() -> None:
    one, other = make_context(scenario="single-stream"), make_context(scenario="server,bound_ms=100")
    labels = context_labels([one, other], {})
    assert labels[one.key].endswith("scenario single-stream")
    assert labels[other.key].endswith("scenario server,bound_ms=100")


def test_two_contents_under_one_name_are_told_apart_by_their_hash() -> None:
    one, other = make_context(dataset="mine@0123abcd"), make_context(dataset="mine@4567cdef")
    labels = context_labels([one, other], {})
    assert labels[one.key].endswith("dataset 0123abcd")
    assert labels[other.key].endswith("dataset 4567cdef")
