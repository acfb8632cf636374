"""Int4 weights by GPTQ: what rounding one weight spoils, the weights after it make good, measured on training texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import ExportError
from engine.models.base import Artifact, ModelFacts, TrainingContext
from engine.spec import Task
from engine.techniques.base import ArtifactTechnique, Group, copy_beside_weights
from engine.techniques.blockwise import pack, products, save_beside
from engine.techniques.calibration_texts import calibration_ids
from engine.techniques.int4_mixed import HEAD, bits_by_name
from engine.techniques.weight_only import GroupedConfig, check_groups

Inputs = dict[str, NDArray[np.generic]]
_CONFIG_FILE = "genai_config.json"


class Int4GptqConfig(GroupedConfig):
    """Parameters of GPTQ."""

    symmetric: bool = Field(
        default=False, title="Symmetric", description="Zero stays zero, so that no offset has to be stored or added"
    )
    samples: int = Field(
        default=32,
        ge=1,
        le=1024,
        title="Calibration",
        description="Training texts by which it is measured what a rounded weight spoils",
        json_schema_extra={"unit": "texts"},
    )
    output_layer: bool = Field(
        default=True, title="Output layer in int8", description="Keeps the last product, which decides between words"
    )


class Int4Gptq(ArtifactTechnique[Int4GptqConfig]):
    """Frantar et al. 2022, as ONNX Runtime carries it out."""

    name = "int4-gptq"
    title = "Int4 weights, calibrated (GPTQ)"
    summary = "Int4 weights rounded so that the products stay right on training texts; slow to make, as fast to run."
    group = Group.QUANTIZATION
    tasks = frozenset({Task.TEXT_GENERATION})
    config_type = Int4GptqConfig
    exclusive = True
    formats = frozenset({"genai"})

    def check(self, config: Int4GptqConfig, facts: ModelFacts) -> None:
        """Refuse a group size that does not divide the inputs of every product."""
        check_groups(self.name, config.group_size, facts)

    def apply(self, artifact: Artifact, config: Int4GptqConfig, folder: Path, context: TrainingContext) -> Artifact:
        """Pack the output layer, then round layer by layer on calibration texts.

        Raises:
            ExportError: if the quantizer cannot carry it out.
        """
        import onnx
        from onnxruntime.quantization.matmul_nbits_quantizer import GPTQWeightOnlyQuantConfig, MatMulNBitsQuantizer

        copy_beside_weights(artifact, folder)
        graph, data = artifact.manifest.weights
        model = onnx.load(str(artifact.folder / graph))
        heads = [name for name in products(model) if HEAD in name]
        width = bits_by_name(heads, output_layer=config.output_layer, layers=False)
        model, _ = pack(model, width, config.group_size, symmetric=config.symmetric)
        rounding = GPTQWeightOnlyQuantConfig(
            calibration_data_reader=_reader(artifact, config.samples, context), block_size=config.group_size
        )
        quantizer = MatMulNBitsQuantizer(
            model,
            bits=4,
            block_size=config.group_size,
            is_symmetric=config.symmetric,
            accuracy_level=4,
            algo_config=rounding,
        )
        try:
            quantizer.process()
        except (ValueError, AssertionError, np.linalg.LinAlgError) as error:
            raise ExportError(
                f"{self.name}: the texts do not determine the rounding ({error}). Raise the number of samples."
            ) from error
        save_beside(quantizer.model.model, folder / graph, data)
        return Artifact.write(folder, artifact.manifest)


def _reader(artifact: Artifact, samples: int, context: TrainingContext) -> Any:
    """Return what hands the quantizer one training text after the other, with an empty cache each."""
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    texts = calibration_inputs(artifact, samples, context)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The texts in their order."""

        def __init__(self) -> None:
            self._left = iter(texts)

        def get_next(self) -> Inputs | None:
            """Return the inputs of the next text, ``None`` at the end."""
            return next(self._left, None)

    return Reader()


def calibration_inputs(
    artifact: Artifact, samples: int, context: TrainingContext
) -> list[dict[str, NDArray[np.generic]]]:
    """Return the inputs of a generation graph for so many training texts."""
    decoder = json.loads((artifact.folder / _CONFIG_FILE).read_text("utf-8"))["model"]["decoder"]
    empty = np.zeros((1, decoder["num_key_value_heads"], 0, decoder["head_size"]), dtype=np.float32)
    cache: Inputs = {
        name % layer: empty
        for layer in range(decoder["num_hidden_layers"])
        for name in (decoder["inputs"]["past_key_names"], decoder["inputs"]["past_value_names"])
    }
    return [
        {"input_ids": ids, "attention_mask": np.ones_like(ids), **cache}
        for ids in calibration_ids(artifact, samples, context)
    ]
