"""Generating text with a PyTorch module: greedy decoding with a KV cache, and logits of whole sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.models.base import TrainedModel

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
        token = self.begin(ids, count)
        yield token
        for _ in range(count - 1):
            (token,) = self.extend([token])
            yield token

    def stream_together(self, ids: NDArray[np.int64], count: int) -> Iterator[list[int]]:
        """Yield the most likely next token of every prompt, ``count`` times."""
        import torch
        from transformers import DynamicCache

        self._cache = DynamicCache(config=self._module.config)
        given = torch.from_numpy(ids)
        with torch.inference_mode():
            for _ in range(count):
                answer = self._module(input_ids=given, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
                given = answer.logits[:, -1].argmax(dim=-1, keepdim=True)
                following: list[int] = given[:, 0].tolist()
                yield following

    def begin(self, ids: NDArray[np.int64], room: int) -> int:
        """Read a prompt into a new cache; return the most likely next token."""
        from transformers import DynamicCache

        self._cache = DynamicCache(config=self._module.config)
        (token,) = self._step(ids.tolist(), 1)
        return token

    def extend(self, tokens: Sequence[int]) -> list[int]:
        """Read these tokens; return the most likely next one after each of them."""
        return self._step(tokens, len(tokens))

    def forget(self, tokens: int) -> None:
        """Drop so many tokens from the end of the cache."""
        self._cache.crop(-tokens)

    def _step(self, tokens: Sequence[int], asked: int) -> list[int]:
        """Return the most likely token after each of the last ``asked``; the cache holds all that came before."""
        import torch

        with torch.inference_mode():
            ids = torch.tensor([list(tokens)])
            answer = self._module(input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=asked)
            following: list[int] = answer.logits[0].argmax(dim=-1).tolist()
            return following

    def numbers(self) -> dict[str, float]:
        """Return the bytes of keys and values after the last response."""
        if self._cache is None:
            return {}
        return {"kv_cache_bytes": float(sum(layer.keys.nbytes + layer.values.nbytes for layer in self._cache.layers))}
