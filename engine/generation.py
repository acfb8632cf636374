"""What a fresh inference process asks of a language model: prompts of one length, answers of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Generator, Inputs
from engine.datasets.base import Question, Samples
from engine.errors import MeasurementError
from engine.measure.timing import Query
from engine.models.base import Artifact
from engine.models.prompts import PromptTokenizer, load_tokenizer
from engine.scenarios.response import Response, ResponseOptions, prompts, respond
from engine.spec import Scalar

BRIEF_TOKENS = 4
"""What wakes threads and fills caches before something is timed."""
PROFILED_TOKENS = 30

Ids = NDArray[np.int64]


@dataclass
class Asked:
    """The prompts of a job, and how many of them were put to the model so far."""

    tokenizer: PromptTokenizer
    texts: list[str]
    """One a prompt; its ids are cut to the length asked for, or repeated."""
    options: ResponseOptions
    count: int = 0

    @classmethod
    def of(cls, artifact: Artifact, samples: Samples, params: Mapping[str, Scalar]) -> Asked:
        """Read the tokenizer and cut the prompts.

        Raises:
            MeasurementError: if prompt and answer together are longer than the model's window.
        """
        options = ResponseOptions.model_validate(dict(params))
        window = artifact.manifest.preprocess.max_length
        if options.prompt_tokens + options.new_tokens > window:
            raise MeasurementError(
                f"A prompt of {options.prompt_tokens} and an answer of {options.new_tokens} tokens do not fit into the "
                f"{window} tokens of this model. Choose shorter ones."
            )
        tokenizer = load_tokenizer(artifact.folder)
        contexts = [_ids(tokenizer, sample.context) for sample in samples if isinstance(sample, Question)]
        texts = [tokenizer.decode(ids.tolist()) for ids in prompts(contexts, options.prompt_tokens)]
        return cls(tokenizer, texts, options)

    def first_token(self, generator: Generator) -> None:
        """Let the model say one token: the end of its cold start."""
        self._answer(generator, self._prompt(0), 1)

    def wake(self, generator: Generator) -> None:
        """Let the model say a few tokens, after which it shows which threads do the work."""
        self._answer(generator, self._prompt(0), BRIEF_TOKENS)

    def queries(self, generator: Generator) -> list[Query[Ids]]:
        """Return one query a prompt; tokenising is its preparation."""
        whole = partial(self._answer, generator, count=self.options.new_tokens)
        brief = partial(self._answer, generator, count=min(BRIEF_TOKENS, self.options.new_tokens))

        def ask(ids: Ids) -> Response:
            self.count += 1
            return whole(ids)

        return [Query(partial(self._prompt, number), ask, brief) for number in range(len(self.texts))]

    def _prompt(self, number: int) -> Ids:
        """Return the ids of a prompt, or with it those of the prompts that are answered together with it."""
        prompt = [
            np.resize(_ids(self.tokenizer, self.texts[(number + other) % len(self.texts)]), self.options.prompt_tokens)
            for other in range(self.options.requests)
        ]
        return prompt[0] if len(prompt) == 1 else np.stack(prompt)

    def _answer(self, generator: Generator, ids: Ids, count: int) -> Response:
        """Return an answer; timed by one clock for all runtimes, at the moment each token is handed over."""
        stream = generator.stream(ids, count) if ids.ndim == 1 else _first_of(generator.stream_together(ids, count))
        tokens, moments = respond(stream, perf_counter_ns)
        if len(tokens) != count:
            raise MeasurementError(f"The runtime answered with {len(tokens)} tokens instead of {count}.")
        return Response(tokens, moments, generator.numbers())


def _first_of(together: Iterator[list[int]]) -> Iterator[int]:
    """Return the tokens of the first of several answers; the others come at the same moments."""
    return (tokens[0] for tokens in together)


def _ids(tokenizer: PromptTokenizer, text: str) -> Ids:
    return np.asarray(tokenizer.encode(text), dtype=np.int64)


def single_tokens(artifact: Artifact, samples: Samples) -> list[Inputs]:
    """Return inputs of one token each: what a step of decoding reads and multiplies, for the profiler."""
    tokenizer = load_tokenizer(artifact.folder)
    ids = [id_ for sample in samples if isinstance(sample, Question) for id_ in tokenizer.encode(sample.context)]
    return [{"input_ids": np.asarray([[id_]], dtype=np.int64)} for id_ in ids[:PROFILED_TOKENS]]
