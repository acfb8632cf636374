"""Google's AI Edge quantizer: int8 as LiteRT runs it, with activations scaled on the fly or by measured ranges."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from engine.backends.litert import fitted, length_of
from engine.datasets.files import take
from engine.errors import ExportError
from engine.models.base import Artifact, TrainingContext
from engine.models.preprocess import load_preprocessor
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_beside_weights

PRODUCTS = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")


class Int8LiteRtConfig(TechniqueConfig):
    """Parameters of LiteRT's int8."""

    activations: Literal["dynamic", "static"] = Field(
        default="dynamic",
        title="Activations",
        description="Scaled in every query (dynamic), or by ranges measured on training samples (static)",
    )
    operators: Literal["auto", "products", "all"] = Field(
        default="auto",
        title="Operators",
        description="What static ranges are used for; auto takes all in an image model and the products in a text "
        "model, whose attention mask is too large a number for eight bits",
    )
    per_channel: bool = Field(
        default=True, title="Per channel", description="One scale for each output channel, not one for a whole weight"
    )
    samples: int = Field(
        default=128,
        ge=8,
        le=4096,
        title="Samples",
        description="Training samples that static ranges are measured on",
        json_schema_extra={"unit": "samples"},
    )


class Int8LiteRt(ArtifactTechnique[Int8LiteRtConfig]):
    """Dynamic-range or full int8 of a LiteRT file."""

    name = "int8-litert"
    title = "LiteRT int8"
    summary = "Int8 as phones run it: weights only in memory and integer products, or every operator with fixed ranges."
    group = Group.QUANTIZATION
    config_type = Int8LiteRtConfig
    exclusive = True
    needs_whole_model = True
    formats = frozenset({"litert"})

    def apply(self, artifact: Artifact, config: Int8LiteRtConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Quantize all graphs of the file, after measuring ranges with each of them where they have to be fixed.

        Raises:
            ExportError: if there are too few training samples, or the tool refuses the file.
        """
        from ai_edge_quantizer.quantizer import Quantizer

        train = len(context.dataset.train)
        if config.activations == "static" and config.samples > train:
            raise ExportError(f"int8-litert: {config.samples} samples asked, but the training split has {train}.")
        copy_beside_weights(artifact, folder)
        (graph_file,) = artifact.manifest.weights
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is told that measuring ranges takes memory
            quantizer = Quantizer(str(artifact.folder / graph_file))
            _choose(quantizer, config, has_text=artifact.manifest.preprocess.kind == "text")
            try:
                measured = None
                if config.activations == "static":
                    given = _samples(artifact, config, context)
                    measured = quantizer.calibrate(given, num_threads=os.cpu_count() or 1)  # sixteen otherwise
                quantized = quantizer.quantize(measured, enable_progress_bar=False, enable_progress_report=False)
            except (RuntimeError, ValueError, KeyError) as error:
                raise ExportError(f"LiteRT's quantizer refused the model ({error}). Leave int8-litert out.") from error
        (folder / graph_file).write_bytes(quantized.quantized_model)
        return Artifact.write(folder, artifact.manifest)


def _choose(quantizer: Any, config: Int8LiteRtConfig, *, has_text: bool) -> None:
    """Tell the tool which operators are to be quantized, and how."""
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    granularity = QuantGranularity.CHANNELWISE if config.per_channel else QuantGranularity.TENSORWISE
    if config.activations == "dynamic":
        quantizer.add_dynamic_config(".*", TFLOperationName.ALL_SUPPORTED, 8, granularity)
        return
    takes_all = config.operators == "all" or (config.operators == "auto" and not has_text)
    names = [TFLOperationName.ALL_SUPPORTED] if takes_all else [TFLOperationName(name) for name in PRODUCTS]
    for name in names:
        quantizer.add_static_config(".*", name, 8, 8, granularity)
    for name in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):  # callers give and get floating point
        quantizer.update_quantization_recipe(".*", name, algorithm_key=AlgorithmName.NO_QUANTIZE)


def _samples(artifact: Artifact, config: Int8LiteRtConfig, context: TrainingContext) -> dict[str, list[Any]]:
    """Return training samples for each graph of the file, as it takes them; texts are cut or filled up."""
    from ai_edge_litert.interpreter import Interpreter

    train, spec = context.dataset.train, artifact.manifest.preprocess
    prepare = load_preprocessor(spec, artifact.folder)
    chosen = np.random.default_rng(context.seed).permutation(len(train))[: config.samples]

    def rows(length: int) -> list[Any]:
        inputs = [prepare(take(train.samples, np.array([row]))) for row in chosen]
        return [fitted(row, length, spec.pad_id) for row in inputs] if length else inputs

    (graph_file,) = artifact.manifest.weights
    graphs = Interpreter(model_path=str(artifact.folder / graph_file)).get_signature_list()
    return {name: rows(length_of(name)) for name in graphs}
