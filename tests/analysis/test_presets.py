from dataclasses import replace
from types import MappingProxyType

import pytest

from engine.analysis.presets import PRESETS, parse_preset
from engine.errors import UnknownNameError
from engine.results import Metric
from tests.analysis.rows import Row, text_rows


def run_with(accuracy: float | None, change: float | None) -> Row:
    metrics = {"accuracy": Metric(value=accuracy), "accuracy_change": Metric(value=change)}
    return replace(text_rows()[0], metrics=MappingProxyType(metrics))


@pytest.mark.parametrize(
    ("accuracy", "change", "kept"),
    [
        (0.86, 0.0, ["any", "99", "99.9"]),
        (0.87, 0.01, ["any", "99", "99.9"]),
        (0.7992, -0.0008, ["any", "99", "99.9"]),  # 99.9 % of 0.8, exactly
        (0.7991, -0.0009, ["any", "99"]),
        (0.792, -0.008, ["any", "99"]),  # 99 % of 0.8, exactly
        (0.7919, -0.0081, ["any"]),
        (0.1, -0.7, ["any"]),
        (0.0, 0.0, ["any", "99", "99.9"]),
        (None, None, ["any"]),
        (0.86, None, ["any"]),
        (float("nan"), float("nan"), ["any"]),
    ],
)
def test_a_run_is_kept_by_its_share_of_the_baselines_accuracy(
    accuracy: float | None, change: float | None, kept: list[str]
) -> None:
    assert [preset.name for preset in PRESETS if preset.keeps(run_with(accuracy, change))] == kept


def test_a_run_without_these_metrics_has_not_shown_that_it_is_good_enough() -> None:
    bare = replace(text_rows()[0], metrics=MappingProxyType({}))
    assert [preset.name for preset in PRESETS if preset.keeps(bare)] == ["any"]


@pytest.mark.parametrize(
    ("text", "name"), [("any", "any"), ("Any", "any"), ("99", "99"), ("99 %", "99"), ("99.9%", "99.9")]
)
def test_presets_are_found_by_name_with_or_without_a_percent_sign(text: str, name: str) -> None:
    assert parse_preset(text).name == name


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(UnknownNameError, match="There is no preset '98'"):
        parse_preset("98")


def test_bounds_are_told_in_words() -> None:
    assert [preset.bound for preset in PRESETS] == [
        "",
        "99 % of the baseline's accuracy",
        "99.9 % of the baseline's accuracy",
    ]
