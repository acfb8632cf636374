"""GGUF files: weights of a few bits with their tokenizer, unpacked into 32-bit PyTorch weights."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import WeightsError
from engine.models.preprocess import TOKENIZER_FILE
from engine.models.prompts import TEMPLATE_FILE
from engine.quiet import quiet_libraries

if TYPE_CHECKING:
    from torch import nn

_PACKAGES = ("gguf", "accelerate")
_GROWTH = {".gguf": 8, ".safetensors": 2}
"""How much larger weights may become in 32 bits: from four bits, from sixteen."""


def find(folder: Path) -> Path | None:
    """Return the GGUF of a folder.

    Raises:
        WeightsError: if there are several.
    """
    found = sorted(folder.glob("*.gguf"))
    if len(found) > 1:
        raise WeightsError(f"'{folder.name}' holds {len(found)} GGUF files; leave the one that is meant.")
    return found[0] if found else None


def check_memory(folder: Path) -> None:
    """Refuse weights that would not fit into memory, judged by their size on disk before any is read.

    Raises:
        WeightsError: with both sizes.
    """
    import psutil

    needed = sum(path.stat().st_size * _GROWTH.get(path.suffix, 0) for path in folder.iterdir())
    free = psutil.virtual_memory().available
    if needed > free:
        raise WeightsError(
            f"The weights in '{folder.name}' may take {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free. "
            "Close other programs or choose a smaller model."
        )


def unpack(folder: Path) -> tuple[nn.Module, dict[str, Path]]:
    """Return a causal model in 32 bits, and the files of its tokenizer, which live as long as the model does.

    Raises:
        WeightsError: if the file is damaged, of an unknown architecture, or what reads it is not installed.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise WeightsError(f"Reading a GGUF needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    quiet_libraries()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = find(folder)
    name = "" if file is None else file.name
    make_model: Any = AutoModelForCausalLM
    make_tokenizer: Any = AutoTokenizer
    try:
        module = make_model.from_pretrained(
            str(folder), gguf_file=name, dtype=torch.float32, local_files_only=True, trust_remote_code=False
        )
        tokenizer = make_tokenizer.from_pretrained(
            str(folder), gguf_file=name, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # a damaged file leads the reader anywhere
        raise WeightsError(
            f"'{name}' cannot be read ({error}). Fetch it again, or choose a model of a known architecture."
        ) from error
    module.config.quantization_config = None
    del module.config.quantization_config
    place = Path(tempfile.mkdtemp(prefix="subsecond-"))
    weakref.finalize(module, shutil.rmtree, place, ignore_errors=True)
    tokenizer.backend_tokenizer.save(str(place / TOKENIZER_FILE))
    files = {TOKENIZER_FILE: place / TOKENIZER_FILE}
    if tokenizer.chat_template:
        (place / TEMPLATE_FILE).write_text(tokenizer.chat_template, "utf-8")
        files[TEMPLATE_FILE] = place / TEMPLATE_FILE
    return module.eval(), files
