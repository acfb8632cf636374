"""``python -m engine.conversion JOB.json``: export a model, or change an artifact, in a backend's own environment.

A runtime that lives in an environment of its own cannot be imported where models are trained. What needs it is done by
a process of that environment; a backend that lives in ours is called directly, by the same functions.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.backends import BACKENDS
from engine.backends.base import Backend
from engine.datasets import load_dataset
from engine.environments import process_environment
from engine.errors import ExportError, SubsecondError
from engine.models import FAMILIES
from engine.models.base import Artifact, TrainedModel, TrainingContext
from engine.quiet import quiet_libraries
from engine.spec import Choice, Frozen
from engine.techniques import TECHNIQUES
from engine.techniques.base import ArtifactTechnique


class ConversionJob(Frozen):
    """What a process of a backend's own environment is asked to do, and where it answers."""

    backend: Choice
    source: Path
    """A model as its family saved it, or the artifact to change."""
    folder: Path
    """Empty; the artifact is written into it."""
    answer: Path
    """JSON to write: ``notes`` of a technique, or the ``error`` that it ended with."""
    family: str = ""
    """Of the model; empty to change an artifact."""
    technique: Choice | None = None
    dataset: str = ""
    seed: int = 0


def export(choice: Choice, model: TrainedModel, source: Path, folder: Path) -> Artifact:
    """Write a model in the format of a backend, wherever that lives.

    Args:
        model: the model.
        source: where its family saved it.
        folder: empty.

    Raises:
        ExportError: if it cannot be expressed.
        UnavailableError: if the backend's environment is not made.
    """
    backend: Backend[Any] = BACKENDS.get(choice.name)
    if backend.is_here:
        return backend.export(model, backend.options_type.model_validate(choice.params), folder)
    _elsewhere(choice, source, folder, family=model.family.name)
    return Artifact.read(folder)


def transform(
    choice: Choice,
    *,
    technique: ArtifactTechnique[Any],
    config: Any,
    parent: Artifact,
    folder: Path,
    context: TrainingContext,
    dataset: str,
) -> Artifact:
    """Apply a technique on an exported artifact, wherever its backend lives.

    Args:
        choice: the backend.
        technique: what to do.
        config: its parameters.
        parent: the artifact to change; it stays as it is.
        folder: empty.
        context: what the technique may use.
        dataset: the reference by which another process finds the data of ``context``.

    Raises:
        ExportError: if the format's own tool refuses.
        UnavailableError: if the backend's environment is not made.
    """
    if BACKENDS.get(choice.name).is_here:
        return technique.apply(parent, config, folder, context)
    step = Choice(name=technique.name, params=config.model_dump(mode="json"))
    for note in _elsewhere(choice, parent.folder, folder, technique=step, dataset=dataset, seed=context.seed):
        context.note(note)
    return Artifact.read(folder)


def _elsewhere(choice: Choice, source: Path, folder: Path, **more: Any) -> list[str]:
    """Let the backend's own Python do it; return what the technique noted."""
    backend: Backend[Any] = BACKENDS.get(choice.name)
    with tempfile.TemporaryDirectory() as scratch:
        answer, job_file = Path(scratch) / "answer.json", Path(scratch) / "job.json"
        job = ConversionJob(backend=choice, source=source, folder=folder, answer=answer, **more)
        job_file.write_text(job.model_dump_json(), "utf-8")
        command = [str(backend.python), "-m", "engine.conversion", str(job_file)]
        code = subprocess.run(command, env=process_environment(), stdin=subprocess.DEVNULL, check=False).returncode
        if not answer.is_file():
            raise ExportError(
                f"{backend.title}'s own process ended without an answer (exit code {code}). The run's log says why; "
                f"choose another backend."
            )
        told = json.loads(answer.read_text("utf-8"))
    if "error" in told:
        raise ExportError(str(told["error"]))
    return [str(note) for note in told["notes"]]


def main(job_file: str) -> None:
    """Do the job and write the answer; an unexpected error goes to the log and ends the process."""
    quiet_libraries()
    job = ConversionJob.model_validate_json(Path(job_file).read_text("utf-8"))
    notes: list[str] = []
    told: dict[str, Any] = {"notes": notes}
    try:
        _convert(job, notes.append)
    except SubsecondError as error:
        told = {"error": str(error)}
    job.answer.write_text(json.dumps(told), "utf-8")


def _convert(job: ConversionJob, note: Callable[[str], None]) -> None:
    """Export, or change an artifact, in this process."""
    backend: Backend[Any] = BACKENDS.get(job.backend.name)
    options = backend.options_type.model_validate(job.backend.params)
    if job.technique is None:
        backend.export(FAMILIES.get(job.family).load(job.source), options, job.folder)
        return
    technique = TECHNIQUES.get(job.technique.name)
    if not isinstance(technique, ArtifactTechnique):
        raise ExportError(f"{technique.title} changes models, not artifacts. Please report this.")
    context = TrainingContext(load_dataset(job.dataset), job.seed, lambda share, text: None, note)
    config = technique.config_type.model_validate(job.technique.params)
    technique.apply(Artifact.read(job.source), config, job.folder, context)


if __name__ == "__main__":
    main(sys.argv[1])
