import pytest

from dashboard.grid import MOST_RUNS, Request, Variation, expand, parameters, parse_values
from engine.resolve import resolve
from engine.spec import SINGLE_STREAM, Choice, Effort

SPARSE = resolve(
    model="fashion-mlp", techniques=[Choice(name="prune-magnitude")], backend=Choice(name="onnxruntime")
).techniques
REQUEST = Request(
    "fashion-mlp",
    "fashion-mnist",
    SPARSE,
    Choice(name="onnxruntime", params={"threads": 1}),
    Effort.QUICK,
    SINGLE_STREAM,
)


def test_without_variations_there_is_one_run() -> None:
    (spec,) = expand(REQUEST, []).specs
    assert spec.techniques == SPARSE


def test_every_combination_comes_once() -> None:
    found = expand(
        REQUEST, [Variation("prune-magnitude.sparsity", (0.3, 0.5)), Variation("onnxruntime.threads", (1, 1))]
    )
    assert [spec.techniques[0].params["sparsity"] for spec in found.specs] == [0.3, 0.5]


def test_what_cannot_be_is_told_and_the_rest_goes_on() -> None:
    found = expand(REQUEST, [Variation("prune-magnitude.sparsity", (0.3, 7, "x"))])
    assert len(found.specs) == 1
    assert len(found.refusals) == 2


def test_a_variation_without_values_changes_nothing() -> None:
    assert len(expand(REQUEST, [Variation("seed", ())]).specs) == 1


def test_too_many_are_counted_and_not_made() -> None:
    found = expand(REQUEST, [Variation("seed", tuple(range(MOST_RUNS + 1)))])
    assert (found.specs, found.too_many) == ((), MOST_RUNS + 1)


def test_everything_with_a_value_can_be_varied() -> None:
    names = parameters(REQUEST)
    assert {"prune-magnitude.sparsity", "onnxruntime.threads", "seed"} <= set(names)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.3, 0.5,0.3", (0.3, 0.5)),
        ("true, global", (True, "global")),
        ("", ()),
        (" , ", ()),
        ("[1", ("[1",)),
        ("{a: 1}", ("{a: 1}",)),
    ],
)
def test_values_are_read_as_yaml_reads_them(text: str, values: tuple[object, ...]) -> None:
    assert parse_values(text) == values
