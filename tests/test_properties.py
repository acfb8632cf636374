"""Properties that hold for whatever Hypothesis can think of: specs, studies, the store and the Pareto frontier.

``make fuzz`` looks for ten minutes instead of seconds.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.analysis.pareto import frontier_mask
from engine.errors import RequestError
from engine.results import Status
from engine.spec import Choice, Effort, ExperimentSpec, Task
from engine.store.store import Store
from engine.studies import parse_choice, parse_study
from tests.fakes import make_raw, make_result, make_spec

LONG = "SUBSECOND_FUZZ_EXAMPLES"
settings.register_profile(
    "here",
    max_examples=int(os.environ.get(LONG, "60")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=LONG not in os.environ,
    print_blob=True,
)
settings.load_profile("here")

SCALARS = st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=20)
NAMES = st.text(min_size=1, max_size=30)
CHOICES = st.builds(Choice, name=NAMES, params=st.dictionaries(NAMES, SCALARS, max_size=4))
SPECS = st.builds(
    ExperimentSpec,
    task=st.sampled_from(Task),
    model=NAMES,
    dataset=NAMES,
    techniques=st.lists(CHOICES, max_size=3).map(tuple),
    backend=CHOICES,
    effort=st.sampled_from(Effort),
    scenario=CHOICES,
    batch_size=st.integers(1, 1024),
    seed=st.integers(0, 2**31 - 1),
)
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
KEYS = ("model", "backend", "techniques", "dataset", "task", "effort", "scenario", "batch_size", "seed", "other")
ENTRIES = st.dictionaries(
    st.sampled_from(KEYS),
    JSON | st.sampled_from(["fashion-mlp", "minilm-l6", "torch", "onnxruntime:threads=1", "int8-dynamic", "quick"]),
    max_size=6,
)
POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30)


@given(SPECS)
def test_a_spec_comes_back_from_its_text_with_its_fingerprint(spec: ExperimentSpec) -> None:
    again = ExperimentSpec.model_validate_json(spec.canonical_json())
    assert again == spec
    assert again.fingerprint == spec.fingerprint


@given(SPECS, SPECS)
def test_equal_fingerprints_mean_equal_work(one: ExperimentSpec, other: ExperimentSpec) -> None:
    assert (one.fingerprint == other.fingerprint) == (one.canonical_json() == other.canonical_json())


@given(JSON)
def test_no_document_is_taken_for_a_spec_by_accident_or_breaks_the_reader(document: Any) -> None:
    try:
        ExperimentSpec.model_validate_json(json.dumps(document))
    except ValidationError:
        return
    assert isinstance(document, dict)


@given(st.lists(ENTRIES, max_size=3), JSON)
def test_no_study_ends_in_anything_but_a_study_or_a_sentence(entries: list[dict[str, Any]], name: Any) -> None:
    for document in ({"name": name, "experiments": entries}, name, {"experiments": name}):
        try:
            study = parse_study(yaml.safe_dump(document), "fuzz.yaml")
        except RequestError as error:
            assert str(error)
        else:
            assert study.experiments


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader_of_studies_or_choices(text: str) -> None:
    for read in (lambda given: parse_study(given, "fuzz.yaml"), parse_choice):
        try:
            read(text)
        except RequestError as error:
            assert str(error)


@given(POINTS)
def test_the_frontier_is_what_nobody_dominates(points: list[tuple[int, int]]) -> None:
    costs, gains = (np.asarray([point[axis] for point in points], dtype=np.float64) for axis in (0, 1))
    kept = frontier_mask(costs, gains, "minimize", "maximize")
    for number, (cost, gain) in enumerate(points):
        dominated = any(other[0] <= cost and other[1] >= gain and other != (cost, gain) for other in points)
        assert bool(kept[number]) == (not dominated)


ACTIONS = st.lists(
    st.sampled_from(["ask", "claim", "finish", "fail", "release", "cancel", "retry", "delete", "die"]), max_size=25
)


@given(ACTIONS)
def test_whatever_happens_every_run_is_in_one_state_and_what_ended_stays(actions: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "runs.db")
        held: list[int] = []
        ended: dict[int, Any] = {}
        for number, action in enumerate(actions):
            _act(store, action, number, held, ended)
            for run_id, record in ended.items():
                assert store.run(run_id) == record
            for record in store.runs():
                assert (record.status is Status.RUNNING) == (record.id in held)
        assert store.health()["integrity"] == "ok"
        store.close()


def _act(store: Store, action: str, number: int, held: list[int], ended: dict[int, Any]) -> None:
    """Do one thing, if there is something to do it with."""
    if action == "ask":
        store.enqueue([make_spec(number)])
    elif action == "claim":
        record = store.claim("a")
        held.extend([record.id] if record else [])
    elif action == "retry" and ended:
        store.retry(next(iter(ended)))
    elif action == "delete" and ended:
        run_id = next(iter(ended))
        store.delete_runs([run_id])
        del ended[run_id]
    elif action == "die":
        _die(store, held, ended)
    elif held:
        run_id = held.pop(0)
        ends = {
            "finish": lambda: store.finish(run_id, "a", make_result(), make_raw()),
            "fail": lambda: store.mark_cancelled(run_id, "a"),
            "release": lambda: store.release(run_id, "a"),
        }
        if action in ends:
            assert ends[action]()
            assert not ends[action](), "an end is an end"
            if action != "release":
                ended[run_id] = store.run(run_id)
        else:
            held.insert(0, run_id)
            store.request_cancel(run_id)


def _die(store: Store, held: list[int], ended: dict[int, Any]) -> None:
    """Let nobody count as alive any more."""
    store.recover(-1.0)
    held.clear()
    ended |= {record.id: record for record in store.runs() if record.status.is_final}
