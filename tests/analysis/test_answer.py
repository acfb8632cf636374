from dataclasses import replace
from types import MappingProxyType

from engine.analysis.answer import answers, describe_change, format_points
from engine.analysis.presets import parse_preset
from engine.results import Metric
from tests.analysis.rows import Row, row_of, text_rows
from tests.dashboard.samples import sample_records


def changed(row: Row, **metrics: Metric) -> Row:
    return replace(row, metrics=MappingProxyType({**row.metrics, **metrics}))


def test_best_is_the_fastest_whose_accuracy_is_tied_with_the_baseline() -> None:
    (answer,) = answers(text_rows())
    assert answer.run_id == 11, "distillation is faster, but costs two points"
    assert answer.headline == "6.38x as fast as the baseline, accuracy tied"
    assert answer.detail.startswith("prune-structured + int8-dynamic · onnxruntime: 6.38x [6.12x, 6.63x], 2.40 ms")
    assert "accuracy 85.5 %" in answer.detail


def test_each_model_has_its_own_answer() -> None:
    found = answers([row_of(record) for record in sample_records()])
    assert [answer.model for answer in found] == ["fashion-mlp", "minilm-l6"]


def test_where_every_faster_run_costs_accuracy_the_least_loss_is_named() -> None:
    baseline, *others = text_rows()
    worse = [row for row in others if row.techniques.startswith("distill")]
    (answer,) = answers([baseline, *worse])
    assert answer.run_id == 12
    assert "costs accuracy" in answer.headline


def test_a_speed_up_within_chance_is_none() -> None:
    baseline, other, *_ = text_rows()
    unsure = changed(other, speedup=Metric(value=1.4, ci95=(0.9, 2.1), n=3))
    (answer,) = answers([baseline, unsure])
    assert answer.run_id is None
    assert answer.headline.startswith("No variant is clearly faster")


def test_a_baseline_alone_says_what_to_do() -> None:
    (answer,) = answers(text_rows()[:1])
    assert answer.run_id is None
    assert "Queue a variant" in answer.detail


def test_change_is_described_as_tied_better_or_worse() -> None:
    row = text_rows()[0]
    loss = changed(row, accuracy_change=Metric(value=-0.022), mcnemar_p=Metric(value=0.01))
    gain = changed(row, accuracy_change=Metric(value=0.03), mcnemar_p=Metric(value=0.01))
    chance = changed(row, accuracy_change=Metric(value=-0.022), mcnemar_p=Metric(value=0.2))
    small = changed(row, accuracy_change=Metric(value=-0.009), mcnemar_p=Metric(value=0.0001))
    words = [describe_change(one).split(", ")[1] for one in (loss, gain, chance, small)]
    assert words == ["worse", "better", "tied", "tied"]


def test_tied_accuracy_is_not_enough_where_perplexity_is_worse_by_more_than_chance() -> None:
    baseline, fast, slow, *_ = text_rows()
    change, chance = Metric(value=-0.01), Metric(value=0.4)
    worse = changed(
        fast,
        accuracy_change=change,
        mcnemar_p=chance,
        speedup=Metric(value=5.0, ci95=(4.0, 6.0)),
        perplexity_ratio=Metric(value=1.34, ci95=(1.2, 1.5)),
    )
    good = changed(
        slow,
        accuracy_change=change,
        mcnemar_p=chance,
        speedup=Metric(value=2.0, ci95=(1.8, 2.2)),
        perplexity_ratio=Metric(value=1.02, ci95=(0.99, 1.05)),
    )
    (answer,) = answers([baseline, worse, good])
    assert answer.run_id == good.id
    assert answer.headline == "2.00x as fast as the baseline, accuracy and perplexity tied"
    (answer,) = answers([baseline, worse])
    assert answer.headline == "Every faster variant so far costs accuracy or perplexity; the least loss"
    assert describe_change(worse).endswith("tied; perplexity 1.34x, worse")
    assert "perplexity" not in describe_change(good)


def test_points_carry_a_sign_and_never_a_negative_zero() -> None:
    assert [format_points(value) for value in (0.004, -0.0222, -0.0001, None)] == [
        "+0.4 points",
        "\N{MINUS SIGN}2.2 points",
        "±0.0 points",
        "n/a",
    ]


def test_a_preset_leaves_out_what_loses_more() -> None:
    strict, (answer,) = parse_preset("99.9"), answers(text_rows(), parse_preset("99"))
    assert answer.run_id == 11
    (answer,) = answers(text_rows(), strict)
    assert answer.run_id == 7, "only the unchanged graph keeps 99.9 %"


def test_where_a_preset_keeps_no_variant_that_is_said() -> None:
    baseline, *others = text_rows()
    worse = [row for row in others if row.techniques.startswith("distill")]
    (answer,) = answers([baseline, *worse], parse_preset("99"))
    assert (answer.run_id, answer.headline) == (None, "No variant keeps 99 % of the baseline's accuracy yet")


def test_where_a_preset_keeps_only_slow_variants_that_is_said() -> None:
    baseline, *others = text_rows()
    slow = [row for row in others if row.techniques.startswith("int8") and row.backend == "torch"]
    (answer,) = answers([baseline, *slow], parse_preset("99"))
    assert answer.headline == (
        "No variant that keeps 99 % of the baseline's accuracy is clearly faster than the baseline yet"
    )
