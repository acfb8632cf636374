"""What every backend must do: say what it can without its runtime, and answer as the PyTorch module does."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from engine.backends import BACKENDS, base
from engine.backends.base import Backend
from engine.datasets.files import take
from engine.errors import MeasurementError, WeightsError
from engine.models.base import Artifact
from engine.models.preprocess import load_preprocessor
from engine.models.training import predict
from engine.models.weights_file import count_parameters
from engine.spec import CLASSIFICATION
from tests import tiny
from tests.tiny import KINDS, Kind

each_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
CLASSIFIERS = [backend for backend in BACKENDS if backend.tasks & CLASSIFICATION]


def _mark(backend: Backend[Any]) -> Any:
    found = backend.capabilities()
    reason = found.reason or "it lives in an environment of its own, and is tested there: test_own_environments"
    runs = found.available and backend.is_here
    return pytest.param(backend, marks=pytest.mark.skipif(not runs, reason=reason), id=backend.name)


each_installed = pytest.mark.parametrize("backend", [_mark(backend) for backend in BACKENDS])
each_classifier = pytest.mark.parametrize("backend", [_mark(backend) for backend in CLASSIFIERS])
each_kind = pytest.mark.parametrize("kind", KINDS, ids=str)

ABSENT = {"device": "abacus", "provider": "abacus"}
RUNTIMES = (
    "torch",
    "transformers",
    "onnxruntime",
    "onnxruntime_genai",
    "onnx",
    "openvino",
    "torchao",
    "torch_pruning",
    "nncf",
)


def options(backend: Backend[Any], **changes: Any) -> Any:
    return backend.options_type.model_validate({"threads": 1, **changes})


@each_backend
def test_it_is_declared(backend: Backend[Any]) -> None:
    assert backend.title
    assert backend.summary.endswith(".")
    assert backend.format
    assert set(backend.export_options) <= set(backend.options_type.model_fields)


@each_backend
def test_every_option_is_explained_and_bounded(backend: Backend[Any]) -> None:
    schema = backend.options_type.model_json_schema()["properties"]
    assert {"threads", "device"} <= schema.keys()
    for name, field in backend.options_type.model_fields.items():
        assert field.title, f"{name} has no title"
        assert field.description, f"{name} has no description"
        facts = schema[name]
        assert "default" in facts
        if facts["type"] in ("integer", "number"):
            assert facts.keys() >= {"minimum", "maximum"}, f"{name} has no bounds"
        else:
            closed = facts["type"] == "boolean" or {"enum", "const"} & facts.keys()
            assert closed or facts.keys() >= {"pattern", "maxLength"}, f"{name} is free text"


@each_backend
def test_default_options_survive_a_round_trip_through_json(backend: Backend[Any]) -> None:
    default = backend.options_type()
    assert backend.options_type.model_validate_json(default.model_dump_json()) == default
    with pytest.raises(ValidationError):
        backend.options_type.model_validate({"no_such_option": 1})


def test_capabilities_are_found_out_without_loading_a_runtime() -> None:
    program = (
        "import sys\nfrom engine.backends import BACKENDS\n"
        "assert all(b.capabilities().backend == b.name for b in BACKENDS)\n"
        f"print(*[name for name in {RUNTIMES} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@each_backend
def test_a_missing_package_is_a_reason_and_not_an_error(
    backend: Backend[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import PackageNotFoundError

    def not_installed(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(base, "version", not_installed)
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path))
    capability = backend.capabilities()
    assert not capability.available
    install = f"subsecond backend install {backend.name}" if backend.requirements else "pip install"
    assert install in capability.reason
    assert backend.extra is None or f"subsecond[{backend.extra}]" in capability.reason
    assert capability.devices == ()


@each_installed
def test_what_it_offers_was_tried(backend: Backend[Any]) -> None:
    found = backend.try_options()
    assert "cpu" in found["device"]
    for name, values in found.items():
        for value in values:
            assert getattr(backend.options_type.model_validate({name: value}), name) == value


@each_classifier
def test_a_device_that_is_not_there_is_a_sentence(backend: Backend[Any], tmp_path: Path) -> None:
    artifact = backend.export(tiny.untrained(Kind("vision", "mlp"), tmp_path), options(backend), tmp_path)
    with pytest.raises(MeasurementError, match=r"has no (device|execution provider) 'abacus' here; it has .*cpu"):
        backend.load(artifact, backend.options_type.model_construct(**{**options(backend).model_dump(), **ABSENT}))


@each_classifier
@each_kind
def test_it_answers_as_the_module_does(backend: Backend[Any], kind: Kind, tmp_path: Path) -> None:
    model = tiny.untrained(kind, tmp_path)
    split = tiny.dataset_for(kind.task).validation
    expected = predict(model, split)
    folder = tmp_path / "artifact"
    folder.mkdir()
    artifact = backend.export(model, options(backend), folder)
    assert artifact == Artifact.read(folder)
    assert artifact.manifest.format == backend.format
    assert (artifact.manifest.parameters, artifact.manifest.nonzero_parameters) == count_parameters(model.module)
    assert artifact.size_bytes > 4 * artifact.manifest.parameters * 0.9
    session = backend.load(artifact, options(backend))
    preprocess = load_preprocessor(artifact.manifest.preprocess, folder)
    for size in (1, 3):
        rows = [np.arange(start, start + size) for start in range(0, len(split) - size + 1, size)]
        logits = np.concatenate([session.run(preprocess(take(split.samples, row))) for row in rows])
        session.synchronize()
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected[: len(logits)], atol=1e-4)


@each_classifier
def test_any_length_of_text_is_answered(backend: Backend[Any], tmp_path: Path) -> None:
    model = tiny.untrained(Kind("encoder"), tmp_path)
    (tmp_path / "artifact").mkdir()
    artifact = backend.export(model, options(backend), tmp_path / "artifact")
    session = backend.load(artifact, options(backend))
    preprocess = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    short, long, endless = "good", "the film was dull " * 5, "the film was dull " * 100
    alone = {text: session.run(preprocess([text]))[0] for text in (short, long, endless)}
    together = session.run(preprocess([short, long]))
    np.testing.assert_allclose(together[0], alone[short], atol=1e-4, err_msg="padding changed the answer")
    np.testing.assert_allclose(together[1], alone[long], atol=1e-4)
    assert np.isfinite(alone[endless]).all()
    assert preprocess([endless])["input_ids"].shape[1] <= tiny.POSITIONS


@each_classifier
def test_a_damaged_artifact_is_refused_with_a_sentence(backend: Backend[Any], tmp_path: Path) -> None:
    artifact = backend.export(tiny.untrained(Kind("vision", "mlp"), tmp_path), options(backend), tmp_path)
    for weights in artifact.manifest.weights:
        (tmp_path / weights).write_bytes(b"nothing of the kind")
    with pytest.raises((MeasurementError, WeightsError), match=r"refused|cannot be read"):
        backend.load(artifact, options(backend))
