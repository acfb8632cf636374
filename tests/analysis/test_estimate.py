from dataclasses import dataclass

import pytest

from engine.analysis.estimate import estimate
from engine.spec import Choice, Effort
from tests.fakes import make_spec


@dataclass
class Past:
    seconds: float
    techniques: str = "int8-dynamic"
    model: str = "fashion-mlp"
    task: str = "image-classification"
    effort: str = "quick"


def seconds(spec: object, *past: Past) -> float:
    return estimate([spec], past).seconds


def test_the_same_stack_counts_most_whatever_its_parameters() -> None:
    past = (Past(40, "int8-dynamic(per_channel=True)"), Past(60), Past(50), Past(400, "distill(layers=3)"))
    assert seconds(make_spec(), *past) == 50


def test_else_the_same_model_counts() -> None:
    assert seconds(make_spec(techniques=[Choice(name="fuse")]), Past(40), Past(9, model="other")) == 40


def test_another_effort_is_scaled_by_its_pairs_of_processes() -> None:
    assert seconds(make_spec(effort=Effort.RIGOROUS), Past(30)) == pytest.approx(100)


def test_else_the_same_task_counts() -> None:
    assert seconds(make_spec(model="mine"), Past(40), Past(9, task="text-classification")) == 40


def test_what_nothing_resembles_is_left_out_and_counted() -> None:
    found = estimate([make_spec(), make_spec(1)], [Past(9, model="other", task="text-classification")])
    assert (found.seconds, found.known, found.runs, found.is_complete) == (0, 0, 2, False)


def test_runs_are_added_up() -> None:
    found = estimate([make_spec(), make_spec(1)], [Past(40)])
    assert (found.seconds, found.is_complete) == (80, True)
