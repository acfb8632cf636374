"""From what a person asked to a complete spec, or to one sentence that says what to change."""

from pathlib import Path
from typing import Any

import pytest

from engine import resolve as module
from engine.backends import BACKENDS
from engine.errors import (
    ContradictionError,
    InvalidValueError,
    RequestError,
    UnavailableError,
    UnknownNameError,
)
from engine.measure.environment import usable_cores
from engine.models import MODELS, find_model
from engine.resolve import model_facts, resolve, technique_problem
from engine.results import Capability
from engine.spec import Choice, Effort, Task
from engine.techniques import TECHNIQUES
from tests import tiny


def choice(name: str, **params: Any) -> Choice:
    return Choice(name=name, params=params)


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> int:
    """As many cores on every machine that runs these tests."""
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    return 4


def test_every_default_is_written_out() -> None:
    spec = resolve(model="minilm-l6", techniques=[choice("int8-dynamic")], backend=choice("onnxruntime"))
    assert (spec.task, spec.dataset, spec.effort) == (Task.TEXT_CLASSIFICATION, "movie-reviews", Effort.QUICK)
    assert spec.techniques[0].params == {"per_channel": True, "embeddings": True, "max_loss": 100.0}
    assert spec.backend.params == {
        "device": "cpu",
        "threads": 4,
        "graph_optimization": "all",
        "memory_arena": True,
        "memory_pattern": True,
    }


def test_options_younger_than_recorded_runs_are_written_only_where_they_say_something() -> None:
    spec = resolve(model="minilm-l6", backend=choice("onnxruntime", affinity="free", inter_op_threads=2))
    assert spec.backend.params["affinity"] == "free"
    assert spec.backend.params["inter_op_threads"] == 2
    plain = resolve(model="minilm-l6", backend=choice("onnxruntime", affinity="each", inter_op_threads=1))
    assert plain.fingerprint == resolve(model="minilm-l6", backend=choice("onnxruntime")).fingerprint


def test_asking_for_a_default_is_the_same_as_leaving_it_out() -> None:
    plain = resolve(model="minilm-l6", techniques=[choice("int8-dynamic")])
    written = resolve(
        model="minilm-l6",
        dataset="movie-reviews",
        task="text-classification",
        techniques=[choice("int8-dynamic", per_channel=True)],
        backend=choice("torch", threads=0),
        effort="quick",
    )
    assert plain.fingerprint == written.fingerprint


def test_values_are_kept_in_their_field_s_type() -> None:
    one = resolve(model="minilm-l6", techniques=[choice("distill", layers=3, temperature=2)])
    other = resolve(model="minilm-l6", techniques=[choice("distill", layers=3, temperature=2.0)])
    assert one.fingerprint == other.fingerprint


def test_a_resolved_spec_resolves_to_itself() -> None:
    spec = resolve(model="minilm-l6", techniques=[choice("distill", layers=3), choice("int8-dynamic")])
    again = resolve(
        model=spec.model,
        dataset=spec.dataset,
        task=spec.task,
        techniques=spec.techniques,
        backend=spec.backend,
        effort=spec.effort,
    )
    assert again == spec


@pytest.mark.parametrize("model", MODELS.names())
@pytest.mark.parametrize("backend", BACKENDS.names())
def test_every_catalog_model_is_for_every_backend_of_its_task(model: str, backend: str) -> None:
    if MODELS.get(model).task not in BACKENDS.get(backend).tasks:
        with pytest.raises(ContradictionError, match=f"does not serve {MODELS.get(model).task}"):
            resolve(model=model, backend=choice(backend))
    elif not BACKENDS.get(backend).capabilities().available:
        pytest.skip(BACKENDS.get(backend).capabilities().reason)
    else:
        assert resolve(model=model, backend=choice(backend)).backend.name == backend


def test_a_backend_whose_environment_is_not_made_is_refused_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"LiteRT cannot run here: .* subsecond backend install litert"):
        resolve(model="fashion-cnn", backend=choice("litert"))


UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"model": "minilm-16"}, "no model 'minilm-16'. Did you mean 'minilm-l6'?"),
    ({"dataset": "movie-revews"}, "no dataset 'movie-revews'. Did you mean 'movie-reviews'?"),
    ({"techniques": [choice("int8-dynamc")]}, "no technique 'int8-dynamc'. Did you mean 'int8-dynamic'?"),
    ({"backend": choice("onnx")}, "no backend 'onnx'. Did you mean 'onnxruntime'?"),
    (
        {"techniques": [choice("int8-dynamic", per_chanel=True)]},
        "no parameter of technique int8-dynamic called 'per_chanel'. Did you mean 'per_channel'?",
    ),
    ({"backend": choice("torch", thread=1)}, "called 'thread'. Did you mean 'threads'?"),
    ({"effort": "quik"}, "no effort 'quik'. Did you mean 'quick'?"),
    ({"task": "text-clasification"}, "no task 'text-clasification'. Did you mean 'text-classification'?"),
    ({"dataset": "gone.csv:text=a,label=b"}, "no data file 'gone.csv'"),
]


@pytest.mark.parametrize(("request_", "sentence"), UNKNOWN)
def test_unknown_names_are_refused_with_the_closest(request_: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve(**{"model": "minilm-l6"} | request_)
    assert sentence in str(caught.value)


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"techniques": [choice("prune-magnitude", sparsity=1.5)]}, "sparsity=1.5 is refused, input should be less than 1"),
    ({"techniques": [choice("prune-magnitude", sparsity=0)]}, "sparsity=0 is refused, input should be greater than 0"),
    ({"techniques": [choice("prune-magnitude", sparsity="much")]}, "sparsity='much' is refused"),
    ({"techniques": [choice("prune-magnitude", scope="all")]}, "scope='all' is refused, input should be 'global' or"),
    ({"techniques": [choice("int8-dynamic", per_channel="perhaps")]}, "per_channel='perhaps' is refused"),
    ({"techniques": [choice("distill", layers=6)]}, "layers=6 is not fewer than the teacher's 6"),
    ({"techniques": [choice("distill", layers=2.5)]}, "layers=2.5 is refused"),
    ({"techniques": [choice("prune-structured", heads=0.99)]}, "would remove all 12 heads"),
    ({"techniques": [choice("prune-structured", heads=0, ffn=0, channels=0)]}, "nothing would be removed"),
    (
        {"model": "fashion-mlp", "techniques": [choice("int8-weight-only", group_size=64)]},
        "groups of 64 do not divide the 784 inputs of a layer; choose 16.",
    ),
    ({"techniques": [choice("prune-layers", layers=6)]}, "layers=6 would leave none of 6; choose 1 to 5"),
    ({"techniques": [choice("prune-nm", n=4, m=4)]}, "n=4 of m=4 keeps every weight"),
    ({"techniques": [choice("early-exit", after=6)]}, "after=6 leaves nothing to skip; choose 1 to 5, or 0"),
    (
        {"model": "fashion-mlp", "techniques": [choice("early-exit")]},
        "no layers between which a sample could leave",
    ),
    ({"techniques": [choice("int8-static", samples=4)], "backend": choice("onnxruntime")}, "samples=4 is refused"),
    ({"techniques": [choice("distill", student="bert")]}, "student='bert' is refused"),
    ({"backend": choice("torch", threads=5)}, "threads=5, but only 4 cores can be used here"),
    ({"backend": choice("torch", threads=-1)}, "threads=-1 is refused"),
    ({"backend": choice("torch", device="C U D A")}, "device='C U D A' is refused"),
    ({"backend": choice("onnxruntime", device="cuda")}, "provider cpu does not compute on cuda: choose provider=cuda"),
    ({"backend": choice("onnxruntime", provider="tensorrt")}, "provider tensorrt does not compute on cpu: choose dev"),
    ({"batch_size": 0}, "batch_size=0 is refused"),
    ({"batch_size": 5000}, "batch_size=5000 is refused"),
    ({"seed": -1}, "seed=-1 is refused"),
    ({"dataset": "own.csv"}, "'own.csv' does not name a data set. Write FILE.csv:text=COLUMN,label=COLUMN"),
]


@pytest.mark.parametrize(("request_", "sentence"), INVALID)
def test_values_out_of_bounds_are_refused(request_: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        resolve(**{"model": "minilm-l6"} | request_)
    assert sentence in str(caught.value)


ORT = choice("onnxruntime")
CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"techniques": [choice("int8-dynamic"), choice("int8-dynamic")]}, "int8-dynamic is in the stack twice"),
    (
        {"techniques": [choice("int8-dynamic"), choice("prune-magnitude")]},
        "comes after int8-dynamic, but quantized weights cannot be trained or cut. Put int8-dynamic last",
    ),
    ({"techniques": [choice("int8-dynamic"), choice("distill", layers=3)]}, "distill comes after int8-dynamic"),
    ({"techniques": [choice("distill", layers=0, width=1)]}, "as large as its teacher"),
    (
        {"techniques": [choice("fuse"), choice("prune-nm")], "backend": ORT},
        "exported graph cannot be trained or cut",
    ),
    ({"techniques": [choice("int8-dynamic"), choice("fuse")], "backend": ORT}, "would find nothing to fuse"),
    ({"techniques": [choice("early-exit"), choice("prune-nm")]}, "which cuts the model in two. Put early-exit behind"),
    (
        {"techniques": [choice("early-exit"), choice("int8-static")], "backend": ORT},
        "int8-static needs the model in one piece, which early-exit cuts in two",
    ),
    ({"techniques": [choice("int8-qat"), choice("fp16")], "backend": ORT}, "int8-qat and fp16 both quantize"),
    ({"dataset": "fashion-mnist"}, "is for image-classification, the model 'minilm-l6' for text-classification"),
    ({"task": "image-classification"}, "'minilm-l6' is a model for text-classification, not for image-classification"),
]


@pytest.mark.parametrize(("request_", "sentence"), CONTRADICTIONS)
def test_contradictions_are_refused(request_: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ContradictionError) as caught:
        resolve(**{"model": "minilm-l6"} | request_)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("request_", [request for request, _ in UNKNOWN + INVALID + CONTRADICTIONS])
def test_every_refusal_is_one_line_that_ends_like_a_sentence(request_: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        resolve(**{"model": "minilm-l6"} | request_)
    message = str(caught.value)
    assert "\n" not in message
    assert message[-1] in ".?"
    assert "pydantic" not in message


def test_data_of_another_task_names_what_fits() -> None:
    with pytest.raises(ContradictionError, match=r"Choose fashion-mnist\."):
        resolve(model="fashion-mlp", dataset="movie-reviews")


def test_an_image_model_cannot_keep_fewer_layers() -> None:
    with pytest.raises(InvalidValueError, match="no repeated layers"):
        resolve(model="fashion-cnn", techniques=[choice("distill", layers=2)])


def test_threads_up_to_the_cores_are_fine() -> None:
    for threads in (1, 4):
        assert (
            resolve(model="fashion-mlp", backend=choice("torch", threads=threads)).backend.params["threads"] == threads
        )


def test_two_techniques_that_quantize_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherInt8(type(TECHNIQUES.get("int8-dynamic"))):
        name = "other-int8"

    monkeypatch.setitem(TECHNIQUES._entries, "other-int8", OtherInt8())
    with pytest.raises(ContradictionError, match="int8-dynamic and other-int8 both quantize"):
        resolve(model="fashion-mlp", techniques=[choice("int8-dynamic"), choice("other-int8")])


def test_a_backend_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = BACKENDS.get("onnxruntime")
    missing = Capability(backend="onnxruntime", available=False, reason="pip install onnxruntime")
    monkeypatch.setattr(type(backend), "capabilities", lambda _: missing)
    with pytest.raises(UnavailableError, match="ONNX Runtime cannot run here: pip install onnxruntime"):
        resolve(model="fashion-mlp", backend=choice("onnxruntime"))


@pytest.fixture
def own(tmp_path: Path) -> tuple[str, str]:
    """A person's own model and file."""
    folder = tiny.encoder_folder(tmp_path / "model")
    return str(folder), tiny.reviews_reference(tiny.reviews_csv(tmp_path / "own.csv"))


def test_a_person_s_own_model_and_file_go_the_same_way(own: tuple[str, str]) -> None:
    model, dataset = own
    spec = resolve(model=model, dataset=dataset, task="text-classification", techniques=[choice("distill", layers=1)])
    assert (spec.model, spec.dataset) == (model, dataset)


def test_what_a_person_names_relatively_is_kept_absolutely(
    own: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = resolve(model="model", dataset="own.csv:text=review,label=mood")
    assert (spec.model, spec.dataset) == own


def test_an_own_model_needs_data(own: tuple[str, str]) -> None:
    with pytest.raises(InvalidValueError, match=r"no default data set.*--dataset FILE"):
        resolve(model=own[0])


def test_the_layers_of_an_own_model_are_read_from_its_configuration(own: tuple[str, str]) -> None:
    facts = model_facts(find_model(own[0]))
    assert (facts.layers, facts.heads) == (tiny.LAYERS, tiny.HEADS)
    with pytest.raises(InvalidValueError, match=f"not fewer than the teacher's {tiny.LAYERS}"):
        resolve(model=own[0], dataset=own[1], techniques=[choice("distill", layers=tiny.LAYERS)])


def test_facts_of_a_catalog_model_are_the_catalog_s() -> None:
    facts = model_facts(find_model("minilm-l6"))
    assert (facts.layers, facts.heads) == (6, 12)


@pytest.mark.parametrize("technique", TECHNIQUES.names())
@pytest.mark.parametrize("backend", BACKENDS.names())
def test_what_the_form_offers_is_what_the_engine_takes(technique: str, backend: str) -> None:
    for task in Task:
        offered = technique_problem(technique, task, backend) is None
        formats, runtime = TECHNIQUES.get(technique).formats, BACKENDS.get(backend)
        fits = formats is None or runtime.format in formats
        whole = runtime.takes_split_models or not TECHNIQUES.get(technique).splits_model
        assert offered == (fits and whole and task in TECHNIQUES.get(technique).tasks)


def test_an_artifact_technique_needs_a_format_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(TECHNIQUES.get("int8-dynamic")), "formats", frozenset({"onnx"}))
    problem = technique_problem("int8-dynamic", Task.TEXT_CLASSIFICATION, "torch")
    assert problem == "Dynamic int8 cannot be done on PyTorch eager; choose ONNX Runtime."
    with pytest.raises(ContradictionError, match="cannot change 'torch' artifacts"):
        resolve(model="minilm-l6", techniques=[choice("int8-dynamic")])


def test_a_technique_for_another_task_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(TECHNIQUES.get("distill")), "tasks", frozenset({Task.IMAGE_CLASSIFICATION}))
    with pytest.raises(ContradictionError, match="Distillation does not fit text-classification; leave distill out"):
        resolve(model="minilm-l6", techniques=[choice("distill", layers=3)])
    assert technique_problem("distill", Task.TEXT_CLASSIFICATION, "torch") is not None


def test_this_machine_has_cores() -> None:
    assert usable_cores() >= 1


def test_an_option_that_came_later_leaves_what_was_recorded_alone() -> None:
    plain = resolve(model="fashion-mlp", backend=choice("onnxruntime"))
    named = resolve(model="fashion-mlp", backend=choice("onnxruntime", provider="cpu"))
    other = resolve(model="fashion-mlp", backend=choice("onnxruntime", provider="dnnl"))
    assert "provider" not in plain.backend.params
    assert plain.fingerprint == named.fingerprint != other.fingerprint


def test_a_technique_whose_package_is_missing_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(TECHNIQUES.get("int8-dynamic")), "packages", ("no-such-distribution",))
    with pytest.raises(UnavailableError, match="needs no-such-distribution: pip install no-such-distribution"):
        resolve(model="fashion-mlp", techniques=[choice("int8-dynamic")])


def test_a_model_cut_in_two_needs_a_backend_that_runs_it() -> None:
    with pytest.raises(
        ContradictionError, match=r"OpenVINO runs models in one piece, and early-exit cuts .* or onnxru"
    ):
        resolve(model="minilm-l6", techniques=[choice("early-exit")], backend=choice("openvino"))
