"""One run of a language model from spec to result: a tiny random Llama, asked, timed and scored inside this process."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import inference
from engine.datasets import DATASETS
from engine.errors import ContradictionError, InvalidValueError, MeasurementError
from engine.measure.environment import machine_id
from engine.measure.jobs import InferenceJob
from engine.measure.processes import ProcessReport
from engine.metrics import METRICS
from engine.pipeline import Pipeline
from engine.resolve import resolve
from engine.results import RawData, RunResult, WorkerEvent, flat_metrics
from engine.spec import Choice, ExperimentSpec, Task
from tests import tiny_lm

PROMPT, ANSWER = 6, 9
RESPONSE = Choice(name="response", params={"prompt_tokens": PROMPT, "new_tokens": ANSWER})


class InThisProcess:
    """Runs every job for real, but here and one after the other, and no longer than the queries take."""

    def __init__(self) -> None:
        self.jobs: list[InferenceJob] = []

    def __call__(self, jobs: Sequence[InferenceJob]) -> list[ProcessReport]:
        self.jobs += jobs
        short = {"min_seconds": 0.0, "warmup_seconds": 0.001}
        return [ProcessReport(inference.run(job.model_copy(update=short)), 50_000_000, 0.0, 0.0) for job in jobs]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    tiny_lm.folder(folder / "model")
    (folder / "locks").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBSECOND_CACHE", str(folder / "cache"))
        patch.setenv("SUBSECOND_STATE", str(folder / "state"))
        patch.setattr(tempfile, "tempdir", str(folder / "locks"))
        patch.setattr(DATASETS.get("arc-easy"), "load", lambda: replace(tiny_lm.dataset(), name="arc-easy"))
        patch.setattr(DATASETS.get("lambada"), "load", lambda: replace(tiny_lm.dataset(1), name="lambada"))
        machine_id.cache_clear()
        yield folder
    machine_id.cache_clear()


def make_spec(home: Path, *techniques: Choice, dataset: str = "arc-easy", **changes: Any) -> ExperimentSpec:
    values = {"backend": Choice(name="torch", params={"threads": 1}), "scenario": RESPONSE} | changes
    return resolve(model=str(home / "model"), dataset=dataset, techniques=techniques, **values)


def run(home: Path, name: str, *techniques: Choice, **changes: Any) -> tuple[RunResult, RawData, list[WorkerEvent]]:
    events: list[WorkerEvent] = []
    (home / name).mkdir()
    pipeline = Pipeline(make_spec(home, *techniques, **changes), home / name, events.append, launch=InThisProcess())
    return *pipeline.run(), events


@pytest.fixture(scope="module")
def first(home: Path) -> tuple[RunResult, RawData, list[WorkerEvent]]:
    return run(home, "first", Choice(name="bf16"))


def test_stages_are_those_of_every_run(first: tuple[RunResult, RawData, list[WorkerEvent]]) -> None:
    ended = [event.finished.name for event in first[2] if event.finished]
    for name in ("unpack weights", "export baseline", "bf16", "time", "profile", "score", "score baseline"):
        assert name in ended
    assert "fine-tune" not in ended


def test_a_result_holds_what_is_registered_for_its_task(first: tuple[RunResult, RawData, list[WorkerEvent]]) -> None:
    result = first[0]
    fitting = {metric.name for metric in METRICS if Task.TEXT_GENERATION in metric.tasks}
    held = set(flat_metrics(result))
    assert held <= fitting
    assert fitting - held == {"perplexity", "perplexity_ratio", "acceptance_rate"}
    assert RunResult.model_validate_json(result.model_dump_json()) == result


def test_latency_is_that_of_whole_responses(first: tuple[RunResult, RawData, list[WorkerEvent]]) -> None:
    result = first[0]
    assert result.latency.n == 12
    first_ms, each_ms, p50_ms = (
        flat_metrics(result)[name].value for name in ("first_token_p50_ms", "time_per_token_p50_ms", "latency_p50_ms")
    )
    assert first_ms
    assert each_ms
    assert p50_ms
    assert first_ms + each_ms * (ANSWER - 1) == pytest.approx(p50_ms, rel=0.5)
    assert first_ms < p50_ms
    assert result.generation["tokens_per_s"].value == pytest.approx(ANSWER / result.latency.mean_ms * 1e3, rel=0.2)
    assert result.baseline.generation.keys() <= result.generation.keys()
    assert result.context.scenario == f"response, {PROMPT} tokens in, {ANSWER} out"


def test_requests_at_once_are_one_query_and_all_their_tokens_count(home: Path) -> None:
    together = Choice(name="response", params={"prompt_tokens": PROMPT, "new_tokens": ANSWER, "requests": 3})
    result, _, _ = run(home, "together", scenario=together)
    assert result.context.scenario.endswith("out, 3 at once")
    assert result.generation["tokens_per_s"].value == pytest.approx(3 * ANSWER / result.latency.mean_ms * 1e3, rel=0.2)
    head = tiny_lm.HIDDEN // tiny_lm.HEADS
    a_token = 2 * tiny_lm.LAYERS * tiny_lm.KV_HEADS * head * 4
    assert result.generation["kv_cache_bytes"].value == 3 * a_token * (PROMPT + ANSWER - 1)
    assert "requests" not in make_spec(home).scenario.params, "specs of before keep their fingerprints"


def test_half_the_bits_are_half_the_cache(first: tuple[RunResult, RawData, list[WorkerEvent]]) -> None:
    mine, base = (side["kv_cache_bytes"].value for side in (first[0].generation, first[0].baseline.generation))
    assert mine
    assert base
    assert base == 2 * mine
    head = tiny_lm.HIDDEN // tiny_lm.HEADS
    assert base == 2 * tiny_lm.LAYERS * tiny_lm.KV_HEADS * head * (PROMPT + ANSWER - 1) * 4


def test_answers_are_compared_sample_by_sample(first: tuple[RunResult, RawData, list[WorkerEvent]]) -> None:
    result, raw, _ = first
    assert result.metrics["accuracy"].n == 18
    assert np.mean(raw.arrays["predictions"] == raw.arrays["labels"]) == pytest.approx(result.metrics["accuracy"].value)
    assert result.accuracy_change.agreement > 0.7
    assert result.numerical_check is not None
    assert 150 < result.numerical_check.samples <= 200
    assert result.generation["next_token_agreement"].value == result.numerical_check.agreement > 0.9
    assert [step.name for step in result.steps] == ["unpack weights", "bf16"]
    assert result.footprint.size_bytes < 0.6 * result.baseline.footprint.size_bytes


def test_where_the_time_of_a_token_goes_is_told(first: tuple[RunResult, RawData, list[WorkerEvent]]) -> None:
    result = first[0]
    assert result.explanation is not None
    assert {share.kind for share in result.explanation.operators} & {"aten::mm", "aten::addmm"}
    assert any(layer.name.endswith("mlp.down_proj") for layer in result.layers)


def test_the_last_word_has_a_perplexity(home: Path) -> None:
    result, _, _ = run(home, "words", Choice(name="bf16"), dataset="lambada")
    assert set(result.metrics) == {"accuracy", "perplexity"}
    assert result.metrics["perplexity"].value is not None
    assert result.metrics["perplexity"].value > 1
    ratio = result.generation["perplexity_ratio"]
    assert ratio.value == pytest.approx(
        result.metrics["perplexity"].value / result.baseline.metrics["perplexity"].value
    )
    assert ratio.ci95 is not None


def test_lengths_are_part_of_the_context(home: Path, first: tuple[RunResult, RawData, list[WorkerEvent]]) -> None:
    longer = Choice(name="response", params={"prompt_tokens": PROMPT, "new_tokens": ANSWER + 1})
    result, _, _ = run(home, "longer", Choice(name="bf16"), scenario=longer)
    assert result.context.differences(first[0].context) == ["scenario"]


def test_the_scenario_of_text_generation_need_not_be_named(home: Path) -> None:
    spec = resolve(model=str(home / "model"), dataset="arc-easy", backend=Choice(name="torch", params={"threads": 1}))
    assert spec.scenario == Choice(name="response", params={"prompt_tokens": 20, "new_tokens": 64})


def test_what_cannot_work_is_refused_before_it_runs(home: Path) -> None:
    with pytest.raises(InvalidValueError, match="greater than or equal to 2"):
        make_spec(home, scenario=Choice(name="response", params={"new_tokens": 0}))
    with pytest.raises(InvalidValueError, match="do not fit into the 256 tokens"):
        make_spec(home, scenario=Choice(name="response", params={"prompt_tokens": 250}))
    with pytest.raises(ContradictionError, match="does not serve text-generation"):
        make_spec(home, backend=Choice(name="onnxruntime", params={"threads": 1}))
    with pytest.raises(ContradictionError, match="does not fit text-generation"):
        make_spec(home, scenario=Choice(name="offline"))
    with pytest.raises(ContradictionError, match="does not fit text-classification"):
        resolve(model="minilm-l6", scenario=RESPONSE)
    with pytest.raises(InvalidValueError, match="arc-easy:samples=100"):
        make_spec(home, dataset="arc-easy:rows=3")


def test_a_prompt_that_is_too_long_ends_as_a_sentence(home: Path) -> None:
    spec = make_spec(home)
    scenario = Choice(name="response", params={"prompt_tokens": 1000, "new_tokens": 64})
    (home / "long").mkdir()
    pipeline = Pipeline(spec.model_copy(update={"scenario": scenario}), home / "long", print, launch=InThisProcess())
    with pytest.raises(MeasurementError, match="do not fit into the 256 tokens"):
        pipeline.run()
