"""What is asked: frozen, strict, and with one fingerprint for equal work."""

import json

import pytest
from pydantic import ValidationError

from engine.spec import Choice, Effort, ExperimentSpec, Study
from tests.fakes import make_spec


def test_a_spec_survives_a_round_trip_through_json() -> None:
    spec = make_spec(techniques=[Choice(name="distill", params={"layers": 3, "width": 0.5, "on": True, "how": "x"})])
    again = ExperimentSpec.model_validate_json(spec.canonical_json())
    assert again == spec
    assert again.fingerprint == spec.fingerprint
    kept = again.techniques[0].params
    assert {name: type(value) for name, value in kept.items()} == {
        "layers": int,
        "width": float,
        "on": bool,
        "how": str,
    }


def test_the_canonical_form_is_sorted_and_has_no_white_space() -> None:
    text = make_spec().canonical_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert len(make_spec().fingerprint) == 64


def test_the_order_of_parameters_does_not_matter() -> None:
    one = make_spec(techniques=[Choice(name="x", params={"a": 1, "b": 2})])
    other = make_spec(techniques=[Choice(name="x", params={"b": 2, "a": 1})])
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "other"},
        {"dataset": "other"},
        {"techniques": ()},
        {"techniques": [Choice(name="int8-dynamic", params={"per_channel": False})]},
        {"backend": "torch"},
        {"effort": Effort.RIGOROUS},
        {"batch_size": 2},
        {"seed": 1},
    ],
)
def test_every_field_changes_the_fingerprint(changed: dict[str, object]) -> None:
    assert make_spec(**changed).fingerprint != make_spec().fingerprint


def test_the_order_of_techniques_changes_the_fingerprint() -> None:
    one, other = make_spec(techniques=["a", "b"]), make_spec(techniques=["b", "a"])
    assert one.fingerprint != other.fingerprint


def test_a_spec_cannot_be_changed_or_widened() -> None:
    with pytest.raises(ValidationError):
        make_spec().seed = 3
    with pytest.raises(ValidationError):
        make_spec(colour="red")
    with pytest.raises(ValidationError):
        make_spec(version=2)


@pytest.mark.parametrize("changed", [{"batch_size": 0}, {"batch_size": 1025}, {"seed": -1}, {"effort": "none"}])
def test_values_out_of_bounds_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        make_spec(**changed)


def test_labels_tell_a_run_from_its_neighbours() -> None:
    assert make_spec(techniques=["a", "b"]).label() == "a + b · onnxruntime"
    assert make_spec(techniques=[], backend="torch").label() == "no technique · torch"
    assert Choice(name="x").label() == "x"
    assert Choice(name="x", params={"a": 1, "b": True}).label() == "x(a=1, b=True)"


@pytest.mark.parametrize(
    ("techniques", "backend", "expected"), [((), "torch", True), ((), "onnxruntime", False), (("a",), "torch", False)]
)
def test_the_baseline_is_eager_without_technique(techniques: tuple[str, ...], backend: str, expected: bool) -> None:
    assert make_spec(techniques=techniques, backend=backend).is_baseline is expected


def test_a_study_has_a_name() -> None:
    assert Study(name="demo", experiments=(make_spec(),)).experiments == (make_spec(),)
    for name in ("", "n" * 101):
        with pytest.raises(ValidationError):
            Study(name=name, experiments=())
