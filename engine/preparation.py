"""From a spec to artifacts on disk: fine-tune, compress, export, check; each step cached by inputs and code."""

import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import conversion
from engine.answering import answering, first_samples
from engine.backends import BACKENDS, onnx_export
from engine.backends.base import Backend
from engine.datasets.base import Dataset, Split
from engine.errors import DataError
from engine.insight import StepEffect
from engine.measure.jobs import InferenceJob, write_samples
from engine.measure.processes import Launcher, launch
from engine.models import (
    FAMILIES,
    early_exit,
    effects,
    fake_quant,
    find_model,
    matching,
    preprocess,
    sparsity,
    structured,
    training,
    weights_file,
)
from engine.models.base import Artifact, TrainedModel, TrainingContext
from engine.models.weights import fetch, weights_hash
from engine.results import NumericalCheck
from engine.spec import Choice, ExperimentSpec
from engine.stages import Stage, StageCache, code_version, stage_key
from engine.techniques import TECHNIQUES, sensitivity
from engine.techniques.base import ArtifactTechnique, ModelTechnique

_CHECK_FILE = "check.json"
_STEP_FILE = "step.json"
_REFERENCE_FILE = "reference_logits.npy"
_TRAINING_CODE = (early_exit, fake_quant, matching, sparsity, structured, training, weights_file)
_RUNTIME_PACKAGES = ("torch", "onnx", "onnxruntime", "torchao", "torch-pruning", "transformers")

StageFrame = Callable[[str], AbstractContextManager[Callable[[Stage], Stage]]]
"""Announces a stage by name; what it yields notes whether the cache had it."""


@dataclass(frozen=True)
class Prepared:
    """An artifact ready to be timed, with its check against the unexported model."""

    stage: Stage
    check: NumericalCheck
    before: Stage | None = None
    """The export on the same backend that artifact techniques changed, where there are such."""

    @property
    def sensitivity(self) -> dict[str, float]:
        """What each operator costs when it alone is quantized, where a technique measured it."""
        file = self.stage.folder / sensitivity.SENSITIVITY_FILE
        return dict(json.loads(file.read_text("utf-8"))["errors"]) if file.is_file() else {}


class Builder:
    """Builds the artifacts of one experiment.

    Args:
        frame: wraps every stage, for progress and the record.
        report: takes the share done within a stage and a short text.
        launch: runs one inference process, for backends that live in an environment of their own.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        dataset: Dataset,
        cache: StageCache,
        frame: StageFrame,
        report: Callable[[float, str], None],
        *,
        launch: Launcher = launch,
    ) -> None:
        self._launch = launch
        self._spec, self._dataset, self._cache, self._frame, self._report = spec, dataset, cache, frame, report
        self._entry = find_model(spec.model, spec.task)
        self._answering = answering(dataset.task)
        self._family = FAMILIES.get(self._entry.family)
        self.steps: list[StepEffect] = []
        """What the model was after each step so far, in order."""
        self._notes: list[str] = []
        if self._entry.task != dataset.task:
            raise DataError(f"'{spec.model}' is for {self._entry.task}, '{dataset.name}' for {dataset.task}.")
        self.eager = Choice(
            name="torch", params={"device": spec.backend.params["device"], "threads": spec.backend.params["threads"]}
        )
        """The backend of every baseline: PyTorch eager on the same device with as many threads."""

    def baseline(self) -> Stage:
        """Return the artifact of the same model without any technique, for PyTorch eager."""
        return self._export("export baseline", self._tuned, self.eager).stage

    def candidate(self) -> Prepared:
        """Return the artifact that the spec asks for."""
        stage = self._tuned
        artifact_steps: list[tuple[Choice, ArtifactTechnique[Any]]] = []
        for choice in self._spec.techniques:
            technique = TECHNIQUES.get(choice.name)
            if isinstance(technique, ModelTechnique):
                stage = self._compress(stage, choice, technique)
            elif isinstance(technique, ArtifactTechnique):
                artifact_steps.append((choice, technique))
        artifact_steps += self._completions()
        prepared = self._export("export", stage, self._spec.backend)
        exported = prepared.stage
        for choice, step in artifact_steps:
            prepared = self._transform(prepared, choice, step)
        return replace(prepared, before=exported if artifact_steps else None)

    def _completions(self) -> list[tuple[Choice, ArtifactTechnique[Any]]]:
        """Return what has to follow the export because of techniques on the model."""
        found: list[tuple[Choice, ArtifactTechnique[Any]]] = []
        for choice in self._spec.techniques:
            technique = TECHNIQUES.get(choice.name)
            if isinstance(technique, ModelTechnique):
                for step in technique.completed_by(technique.config_type.model_validate(choice.params)):
                    completing = TECHNIQUES.get(step.name)
                    if isinstance(completing, ArtifactTechnique):
                        found.append((step, completing))
        return found

    @cached_property
    def _tuned(self) -> Stage:
        """Return the model fitted to the data set: the teacher, and the baseline's weights."""
        with self._frame("fetch weights"):
            fetch(self._entry, lambda text: self._report(0, text))
        with self._frame(self._family.first_stage) as note:
            stage = note(self._tune(self._spec.seed))
        self._note(stage)
        return stage

    def _tune(self, seed: int) -> Stage:
        """Return the model fitted to the data set with a seed."""
        source = fetch(self._entry, lambda text: self._report(0, text))
        settings = self._family.fine_tuning(self._entry.variant)
        inputs = {
            "weights": weights_hash(self._entry, source),
            "data": self._dataset.content_hash,
            "classes": self._dataset.classes,
            "settings": settings.model_dump(),
            "seed": seed,
            "code": code_version(self._family, training, weights_file, preprocess),
        }

        def build(folder: Path) -> None:
            model, fits = self._family.create(self._entry.variant, source, self._dataset, seed)
            if not fits:
                training.train(model, self._dataset.train, settings, seed=seed, report=self._report)
            self._keep(model, folder, self._family.first_stage)

        return self._cache.get(stage_key("tuned", inputs), build)

    def _context(self) -> TrainingContext:
        """Return what a technique may use; what it notes goes into the record of its step."""
        self._notes.clear()
        return TrainingContext(
            self._dataset,
            self._spec.seed,
            self._report,
            self._notes.append,
            lambda artifact, split: self._scores(artifact, self._spec.backend, split),
            lambda seed: self._family.load(self._tune(seed).folder),
        )

    def _compress(self, parent: Stage, choice: Choice, technique: ModelTechnique[Any]) -> Stage:
        """Apply a technique on the PyTorch model."""
        config = technique.config_type.model_validate(choice.params)
        inputs = {
            "parent": parent.key,
            "technique": choice.model_dump(),
            "seed": self._spec.seed,
            "code": code_version(technique, self._family, *_TRAINING_CODE),
            "versions": _versions("torch", "torch-pruning"),
        }

        def build(folder: Path) -> None:
            self._keep(technique.apply(self._family.load(parent.folder), config, self._context()), folder, choice.name)

        with self._frame(choice.name) as note:
            stage = note(self._cache.get(stage_key(choice.name, inputs), build))
        self._note(stage)
        return stage

    def _keep(self, model: TrainedModel, folder: Path, name: str) -> None:
        """Save a model with what it is worth after this step."""
        self._family.save(model, folder)
        split = self._dataset.validation
        parameters, nonzero = weights_file.count_parameters(model.module)
        effect = StepEffect(
            name=name,
            accuracy=self._answering.share_right(self._answering.scores_of_model(model, split), split),
            size_bytes=effects.folder_bytes(folder, (weights_file.WEIGHTS_FILE,)),
            parameters=parameters,
            nonzero_parameters=nonzero,
            flops=self._answering.flops(model, split),
            note="; ".join(self._notes),
        )
        (folder / _STEP_FILE).write_text(effect.model_dump_json(), "utf-8")

    def _keep_artifact(self, artifact: Artifact, choice: Choice, name: str, flops: float | None) -> None:
        """Store what an artifact is worth after this step, scored by the backend it is for."""
        split = self._dataset.validation
        effect = StepEffect(
            name=name,
            accuracy=self._answering.share_right(self._scores(artifact, choice, split), split),
            size_bytes=artifact.size_bytes,
            parameters=artifact.manifest.parameters,
            nonzero_parameters=artifact.manifest.nonzero_parameters,
            flops=flops,
            note="; ".join(self._notes),
        )
        (artifact.folder / _STEP_FILE).write_text(effect.model_dump_json(), "utf-8")

    def _note(self, stage: Stage) -> None:
        """Add a stage's effect to those of this experiment."""
        self.steps.append(StepEffect.model_validate_json((stage.folder / _STEP_FILE).read_text("utf-8")))

    def _scores(self, artifact: Artifact, choice: Choice, split: Split) -> NDArray[np.float32]:
        """Return what an artifact says of every sample, one at a time."""
        backend: Backend[Any] = BACKENDS.get(choice.name)
        if not backend.is_here:
            return self._scores_elsewhere(artifact, choice, split)
        options = backend.options_type.model_validate(choice.params)
        return self._answering.scores_of(backend, artifact, options, split.samples)

    def _scores_elsewhere(self, artifact: Artifact, choice: Choice, split: Split) -> NDArray[np.float32]:
        """Return the same from a process of the backend's own environment."""
        with tempfile.TemporaryDirectory() as scratch:
            samples = Path(scratch) / "samples.npz"
            write_samples(samples, self._answering.written(split.samples))
            job = InferenceJob(
                mode="score",
                artifact=artifact.folder,
                backend=choice,
                samples=samples,
                output=Path(scratch) / "scores.npz",
                batch_size=1,
                cores=None,
            )
            logits: NDArray[np.float32] = self._launch([job])[0].arrays["logits"].astype(np.float32)
            return logits

    def _export(self, name: str, parent: Stage, choice: Choice) -> Prepared:
        """Turn a PyTorch model into the backend's format and check it against that model."""
        backend: Backend[Any] = BACKENDS.get(choice.name)
        inputs = {
            "parent": parent.key,
            "backend": choice.name,
            "options": {name: choice.params[name] for name in sorted(backend.export_options)},
            "code": code_version(backend, onnx_export, self._family, early_exit, weights_file, sys.modules[__name__]),
            "versions": _versions(*_RUNTIME_PACKAGES),
            "requirements": backend.requirements,
        }

        def build(folder: Path) -> None:
            model = self._family.load(parent.folder)
            artifact = conversion.export(choice, model, parent.folder, folder)
            np.save(folder / _REFERENCE_FILE, self._answering.rows_of_model(model, self._dataset.validation))
            self._check(artifact, choice)

        with self._frame(name) as note:
            stage = note(self._cache.get(stage_key(f"export-{choice.name}", inputs), build))
        return _prepared(stage)

    def _transform(self, parent: Prepared, choice: Choice, technique: ArtifactTechnique[Any]) -> Prepared:
        """Apply a technique on the exported artifact."""
        config = technique.config_type.model_validate(choice.params)
        inputs = {
            "parent": parent.stage.key,
            "technique": choice.model_dump(),
            "code": code_version(technique, sensitivity, weights_file, sys.modules[__name__]),
            "versions": _versions(*_RUNTIME_PACKAGES),
        }

        def build(folder: Path) -> None:
            before, context = Artifact.read(parent.stage.folder), self._context()
            artifact = conversion.transform(
                self._spec.backend,
                technique=technique,
                config=config,
                parent=before,
                folder=folder,
                context=context,
                dataset=self._spec.dataset,
            )
            self._check(artifact, self._spec.backend)
            self._keep_artifact(artifact, self._spec.backend, choice.name, self.steps[-1].flops)

        with self._frame(choice.name) as note:
            stage = note(self._cache.get(stage_key(choice.name, inputs), build))
        self._note(stage)
        return _prepared(stage)

    def _check(self, artifact: Artifact, choice: Choice) -> None:
        """Compare the artifact's logits with those of the unexported model."""
        backend: Backend[Any] = BACKENDS.get(choice.name)
        if backend.is_here:
            options = backend.options_type.model_validate(choice.params)
            logits = self._answering.rows_of(backend, artifact, options, self._dataset.validation)
        else:
            logits = self._scores_elsewhere(artifact, choice, first_samples(self._dataset.validation))
        reference = np.load(artifact.folder / _REFERENCE_FILE, allow_pickle=False)
        difference = float(np.abs(logits - reference).max())
        same = logits.argmax(axis=1) == reference.argmax(axis=1)
        check = NumericalCheck(
            max_abs_difference=difference if np.isfinite(difference) else None,
            agreement=float((np.isfinite(logits).all(axis=1) & same).mean()),
            samples=len(reference),
        )
        (artifact.folder / _CHECK_FILE).write_text(check.model_dump_json(), "utf-8")


def _prepared(stage: Stage) -> Prepared:
    """Read the check that was stored with an artifact."""
    return Prepared(stage, NumericalCheck.model_validate_json((stage.folder / _CHECK_FILE).read_text("utf-8")))


def _versions(*names: str) -> dict[str, str | None]:
    """Return the versions of those distributions that are installed."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
