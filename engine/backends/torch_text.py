"""Generating text with a PyTorch module: greedy decoding with a KV cache, and logits of whole sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.models.base import TrainedModel

if TYPE_CHECKING:
    import torch

_BATCH = 16


class TorchGenerator:
    """A causal module ready to continue token ids, without autograd."""

    def __init__(self, model: TrainedModel) -> None:
        self._module: Any = model.module.eval()
        self._cache: Any = None

    def logits(self, sequences: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.float32]]:
        """Yield ``(length, vocabulary)`` for each sequence; neighbours share a batch.

        Shorter ones are filled up behind their end, which no token before it sees in a causal model.
        """
        import torch

        for start in range(0, len(sequences), _BATCH):
            batch = sequences[start : start + _BATCH]
            ids = np.zeros((len(batch), max(len(sequence) for sequence in batch)), dtype=np.int64)
            for row, sequence in enumerate(batch):
                ids[row, : len(sequence)] = sequence
            with torch.inference_mode():
                answers = self._module(input_ids=torch.from_numpy(ids), use_cache=False).logits
            for row, sequence in enumerate(batch):
                yield answers[row, : len(sequence)].float().numpy()

    def stream(self, ids: NDArray[np.int64], count: int) -> Iterator[int]:
        """Yield the most likely next token, ``count`` times."""
        import torch
        from transformers import DynamicCache

        self._cache = DynamicCache(config=self._module.config)
        tokens = torch.from_numpy(ids)[None]
        for _ in range(count):
            tokens = self._step(tokens)
            yield int(tokens)

    def _step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the most likely token after these, ``(1, 1)``; the cache holds all that came before them."""
        import torch

        with torch.inference_mode():
            answer = self._module(input_ids=tokens, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
            following: torch.Tensor = answer.logits[:, -1:].argmax(dim=-1)
            return following

    def numbers(self) -> dict[str, float]:
        """Return the bytes of keys and values after the last response."""
        if self._cache is None:
            return {}
        return {"kv_cache_bytes": float(sum(layer.keys.nbytes + layer.values.nbytes for layer in self._cache.layers))}
