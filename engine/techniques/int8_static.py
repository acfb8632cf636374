"""Static int8 quantization: activation ranges are measured beforehand, so nothing has to be scaled on the fly."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.datasets.files import take
from engine.errors import ExportError
from engine.models.base import Artifact, TrainingContext
from engine.models.preprocess import load_preprocessor
from engine.techniques.base import ArtifactTechnique, Group, TechniqueConfig, copy_beside_weights
from engine.techniques.sensitivity import ANY_LOSS, quantize_within

Feeds = dict[str, NDArray[Any]]
FUSED = frozenset({"Attention", "EmbedLayerNormalization", "SkipLayerNormalization", "BiasGelu"})
_ARM = ("aarch64", "arm64")
_METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
_PRODUCTS = ("Conv", "Gemm", "MatMul", "Attention")


class Int8StaticConfig(TechniqueConfig):
    """Parameters of static quantization."""

    calibration: Literal["minmax", "entropy", "percentile"] = Field(
        default="minmax", title="Calibration", description="How the range of an activation follows from what was seen"
    )
    samples: int = Field(
        default=128,
        ge=8,
        le=4096,
        title="Samples",
        description="Training samples that the ranges are measured on",
        json_schema_extra={"unit": "samples"},
    )
    activations: Literal["auto", "unsigned", "signed"] = Field(
        default="auto",
        title="Activations",
        description="Signed ones have no fast kernel on x86 processors; auto takes the form that is fast here",
    )
    symmetric: bool = Field(
        default=False, title="Symmetric", description="Make the range of activations symmetric about zero"
    )
    form: Literal["auto", "qdq", "qoperator"] = Field(
        default="auto",
        title="Form",
        description="Quantize and dequantize around operators (qdq), or integer operators (qoperator); auto takes the "
        "form that keeps weights constant",
    )
    operators: Literal["products", "all"] = Field(
        default="products", title="Operators", description="Matrix products and convolutions only, or everything"
    )
    per_channel: bool = Field(
        default=True, title="Per channel", description="One scale for each output channel, not one for the tensor"
    )
    max_loss: float = Field(
        default=ANY_LOSS,
        ge=0,
        le=ANY_LOSS,
        title="Largest loss",
        description="Operators that cost more accuracy than this on the validation split stay in floating point; 100 "
        "quantizes everything",
        json_schema_extra={"unit": "points"},
    )


class Int8Static(ArtifactTechnique[Int8StaticConfig]):
    """Int8 weights and activations with ranges measured on training samples."""

    name = "int8-static"
    title = "Static int8"
    summary = "Int8 weights and activations with measured ranges; the fastest int8 for convolutions."
    group = Group.QUANTIZATION
    config_type = Int8StaticConfig
    exclusive = True
    formats = frozenset({"onnx"})
    needs_whole_model = True

    def apply(self, artifact: Artifact, config: Int8StaticConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Measure ranges and quantize.

        Raises:
            ExportError: if there are too few training samples, or the tool refuses the graph.
        """
        if config.samples > len(context.dataset.train):
            raise ExportError(
                f"int8-static: {config.samples} samples asked, but the training split has {len(context.dataset.train)}."
            )
        copy_beside_weights(artifact, folder)
        try:
            _quantize(artifact, config, folder, context)
        except (RuntimeError, ValueError, AttributeError, IndexError, KeyError) as error:
            raise ExportError(
                f"ONNX Runtime could not quantize the graph ({error}). Choose form=qdq, or leave int8-static out."
            ) from error
        return Artifact.write(folder, artifact.manifest)


def calibration_feeds(artifact: Artifact, config: Int8StaticConfig, context: TrainingContext) -> list[Feeds]:
    """Return training samples as single queries.

    Texts are padded to one length for the methods that stack what they see; the smallest and the largest value can be
    had without, and are then those of real tokens only.
    """
    chosen = np.random.default_rng(context.seed).permutation(len(context.dataset.train))[: config.samples]
    preprocess = load_preprocessor(artifact.manifest.preprocess, artifact.folder)
    samples = context.dataset.train.samples
    if config.calibration == "minmax":
        return [dict(preprocess(take(samples, chosen[[row]]))) for row in range(len(chosen))]
    batch = preprocess(take(samples, chosen))
    return [{name: array[[row]] for name, array in batch.items()} for row in range(len(chosen))]


def _quantize(artifact: Artifact, config: Int8StaticConfig, folder: Path, context: TrainingContext) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    (name,) = artifact.manifest.weights
    feeds = calibration_feeds(artifact, config, context)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / name
        quant_pre_process(str(artifact.folder / name), str(prepared), skip_symbolic_shape=True)
        graph = onnx.load(str(prepared)).graph
        form = chosen_form(config, {node.op_type for node in graph.node})

        def quantize(target: Path, only: Sequence[str] | None) -> None:
            quantize_static(
                str(prepared),
                str(target),
                _Reader(feeds, {node.name for node in graph.input}),
                quant_format=QuantFormat.QDQ if form.is_qdq else QuantFormat.QOperator,
                op_types_to_quantize=form.kinds,
                nodes_to_quantize=list(only) if only else None,
                per_channel=config.per_channel,
                activation_type=QuantType.QInt8 if form.is_signed else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=getattr(CalibrationMethod, _METHODS[config.calibration]),
                extra_options={
                    "ActivationSymmetric": config.symmetric,
                    "MatMulConstBOnly": config.operators == "products",
                },
            )

        nodes = {node.name: name for node in graph.node if form.kinds is None or node.op_type in form.kinds}
        quantize_within(artifact, folder, quantize, nodes, max_loss=config.max_loss, context=context)


@dataclass(frozen=True)
class Form:
    """How a graph is quantized on this machine."""

    is_qdq: bool
    is_signed: bool
    kinds: list[str] | None
    """Operators to quantize; ``None`` for all that can be."""


def chosen_form(config: Int8StaticConfig, kinds: Set[str]) -> Form:
    """Return the form that is fast for a graph of these operators on this processor, unless the person chose another.

    Signed activations have no fast product on x86, and weights between quantize and dequantize operators are unpacked
    in every query wherever the runtime does not fuse the pair, which it does for convolutions and fused attention.
    """
    fused = bool(kinds & FUSED)
    is_qdq = config.form == "qdq" or (config.form == "auto" and (fused or "Conv" in kinds))
    is_signed = config.activations == "signed" or (config.activations == "auto" and platform.machine() in _ARM)
    if config.operators == "all":
        return Form(is_qdq, is_signed, None)
    # On a fused graph the integer form of Gemm breaks.
    return Form(is_qdq, is_signed, [kind for kind in _PRODUCTS if kind in kinds and not (fused and kind == "Gemm")])


class _Reader:
    """Feeds samples one by one, as ONNX Runtime's calibrator asks for them."""

    def __init__(self, feeds: list[Feeds], names: set[str]) -> None:
        self._left: Iterator[Feeds] = iter(
            [{name: array for name, array in feed.items() if name in names} for feed in feeds]
        )

    def get_next(self) -> Feeds | None:
        """Return the next sample, ``None`` after the last."""
        return next(self._left, None)
