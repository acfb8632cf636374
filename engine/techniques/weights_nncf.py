"""NNCF's weight compression: a language model's weights in four or eight bits, in the form OpenVINO computes with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from engine.backends.openvino_genai import inputs_of
from engine.errors import ExportError, InvalidValueError
from engine.models.base import Artifact, ModelFacts, TrainingContext
from engine.quiet import without_telemetry
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_beside_weights
from engine.techniques.calibration_texts import calibration_ids
from engine.techniques.weight_only import check_groups

_CALIBRATED: dict[str, dict[str, bool]] = {
    "none": {},
    "awq": {"awq": True, "scale_estimation": True},
    "gptq": {"gptq": True, "scale_estimation": True},
}


class WeightsNncfConfig(TechniqueConfig):
    """Parameters of NNCF's weight compression."""

    bits: Literal[4, 8] = Field(
        default=4,
        title="Bits",
        description="Of a weight; with 4, the embedding and the output layer keep 8, with a scale for each row",
    )
    group_size: Literal[16, 32, 64, 128] = Field(
        default=32, title="Group size", description="Weights of 4 bits that share a scale; those of 8 share one a row"
    )
    symmetric: bool = Field(
        default=False, title="Symmetric", description="Zero stays zero, so that no offset has to be stored or added"
    )
    calibration: Literal["none", "awq", "gptq"] = Field(
        default="awq",
        title="Calibration",
        description="Round to nearest (none), after scaling inputs that matter (awq, Lin et al. 2023), or make good in "
        "later weights what earlier ones spoil (gptq); only for 4 bits",
    )
    samples: int = Field(
        default=32,
        ge=1,
        le=1024,
        title="Texts",
        description="Training texts by which it is measured which inputs matter",
        json_schema_extra={"unit": "texts"},
    )


class WeightsNncf(ArtifactTechnique[WeightsNncfConfig]):
    """Weight compression by the Neural Network Compression Framework."""

    name = "weights-nncf"
    title = "NNCF weights"
    summary = "Weights in 4 or 8 bits as OpenVINO likes them; 4 bits are calibrated on training texts (AWQ or GPTQ)."
    group = Group.QUANTIZATION
    tasks = frozenset({Task.TEXT_GENERATION})
    config_type = WeightsNncfConfig
    exclusive = True
    formats = frozenset({"openvino-genai"})
    packages = ("nncf",)

    def check(self, config: WeightsNncfConfig, facts: ModelFacts) -> None:
        """Refuse a group size that does not divide the inputs of every product, and texts that nothing would read."""
        if config.bits == 8 and config.calibration != "none":
            raise InvalidValueError(
                f"{self.name}: weights of 8 bits are rounded to nearest and need no texts; choose calibration=none."
            )
        if config.bits == 4:
            check_groups(self.name, config.group_size, facts)

    def apply(self, artifact: Artifact, config: WeightsNncfConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Pack the weights of every product.

        Raises:
            ExportError: if the tool refuses the graph.
        """
        without_telemetry()
        import nncf
        import openvino

        copy_beside_weights(artifact, folder)
        graph_file, _ = artifact.manifest.weights
        model = openvino.Core().read_model(str(artifact.folder / graph_file))
        kind = "SYM" if config.symmetric else "ASYM"
        options: dict[str, Any] = {"mode": getattr(nncf.CompressWeightsMode, f"INT{config.bits}_{kind}")}
        if config.bits == 4:
            options |= {"group_size": config.group_size, "ratio": 1.0, **_CALIBRATED[config.calibration]}
        if config.calibration != "none":
            texts = calibration_ids(artifact, config.samples, context)
            options["dataset"] = nncf.Dataset([inputs_of(ids, 0) for ids in texts])
            options["subset_size"] = len(texts)
        try:
            packed = nncf.compress_weights(model, **options)
        except Exception as error:  # its own exceptions share no base class
            raise ExportError(f"NNCF could not pack the weights ({error}). Leave {self.name} out.") from error
        openvino.save_model(packed, str(folder / graph_file), compress_to_fp16=False)
        return Artifact.write(folder, artifact.manifest)
