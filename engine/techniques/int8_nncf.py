"""NNCF: static int8 in OpenVINO's own form, with or without a bound on the accuracy it may cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from engine.datasets.files import take
from engine.errors import ExportError
from engine.models.base import Artifact, TrainingContext
from engine.models.preprocess import load_preprocessor
from engine.quiet import without_telemetry
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_beside_weights
from engine.techniques.sensitivity import ANY_LOSS


class Int8NncfConfig(TechniqueConfig):
    """Parameters of NNCF's post-training quantization."""

    samples: int = Field(
        default=300,
        ge=8,
        le=4096,
        title="Samples",
        description="Training samples that the ranges are measured on",
        json_schema_extra={"unit": "samples"},
    )
    preset: Literal["performance", "mixed"] = Field(
        default="mixed", title="Preset", description="Symmetric activations (performance) or asymmetric ones (mixed)"
    )
    max_loss: float = Field(
        default=ANY_LOSS,
        ge=0,
        le=ANY_LOSS,
        title="Largest loss",
        description="Operators are put back into floating point until no more than this is lost on the validation "
        "split; 100 quantizes everything",
        json_schema_extra={"unit": "points"},
    )


class Int8Nncf(ArtifactTechnique[Int8NncfConfig]):
    """Post-training quantization by the Neural Network Compression Framework."""

    name = "int8-nncf"
    title = "NNCF int8"
    summary = "Static int8 as OpenVINO likes it; can put operators back until the accuracy is within a bound."
    group = Group.QUANTIZATION
    config_type = Int8NncfConfig
    exclusive = True
    needs_whole_model = True
    formats = frozenset({"openvino"})
    packages = ("nncf",)

    def apply(self, artifact: Artifact, config: Int8NncfConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Measure ranges and quantize.

        Raises:
            ExportError: if there are too few training samples, or the tool refuses the graph.
        """
        without_telemetry()
        import nncf
        import openvino

        train = context.dataset.train
        if config.samples > len(train):
            raise ExportError(f"int8-nncf: {config.samples} samples asked, but the training split has {len(train)}.")
        copy_beside_weights(artifact, folder)
        preprocess = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
        chosen = np.random.default_rng(context.seed).permutation(len(train))[: config.samples]
        (graph_file, _) = artifact.manifest.weights
        model = openvino.Core().read_model(str(artifact.folder / graph_file))
        data = nncf.Dataset([preprocess(take(train.samples, np.array([row]))) for row in chosen])
        common: dict[str, Any] = {
            "preset": getattr(nncf.QuantizationPreset, config.preset.upper()),
            "model_type": nncf.ModelType.TRANSFORMER if artifact.manifest.heads else None,
            "subset_size": config.samples,
        }
        try:
            if config.max_loss >= ANY_LOSS:
                quantized = nncf.quantize(model, data, **common)
            else:
                quantized = nncf.quantize_with_accuracy_control(
                    model, data, *_judged(context, preprocess), max_drop=config.max_loss / 100, **common
                )
        except (RuntimeError, ValueError) as error:
            raise ExportError(f"NNCF could not quantize the graph ({error}). Leave int8-nncf out.") from error
        openvino.save_model(quantized, str(folder / graph_file), compress_to_fp16=False)
        return Artifact.write(folder, artifact.manifest)


def _judged(context: TrainingContext, preprocess: Any) -> tuple[Any, Any]:
    """Return the validation data as NNCF wants them, and the function that scores a model on them."""
    import nncf

    split = context.dataset.validation
    rows = [(preprocess(take(split.samples, np.array([row]))), int(split.labels[row])) for row in range(len(split))]

    def accuracy(model: Any, data: Any) -> float:
        output = model.output(0)
        right = [int(model(inputs)[output].argmax()) == label for inputs, label in data]
        return float(np.mean(right))

    return nncf.Dataset(rows, lambda row: row[0]), accuracy
