"""Response: a prompt of fixed length is answered by a fixed number of tokens, one request after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import InvalidValueError
from engine.measure.paired import Timed
from engine.measure.timing import Plan, measure
from engine.measure.turns import Clock
from engine.scenarios.base import Arrays, Bench, Reading, Scenario, ScenarioOptions
from engine.scenarios.single_stream import as_arrays
from engine.spec import Task

PROMPTS = 4
"""Different prompts; a whole response takes seconds, so that few of them are asked."""
QUERIES_OF_A_RESPONSE = 25
"""A process's floor of queries, made for milliseconds, is divided by this."""
_SHORTEST_CONTEXT = 8
"""Tokens that a sample's context has at least; so many samples are drawn that a long prompt can be filled."""


class ResponseOptions(ScenarioOptions):
    """Options of text generation."""

    prompt_tokens: int = Field(
        default=20,
        ge=1,
        le=131_072,
        title="Prompt",
        description="Length of every prompt, cut from the contexts of the validation split",
        json_schema_extra={"unit": "tokens"},
    )
    new_tokens: int = Field(
        default=64,
        ge=2,
        le=131_072,
        title="Answer",
        description="Length of every answer; greedy, and an end of text does not end it",
        json_schema_extra={"unit": "tokens"},
    )
    requests: int = Field(
        default=1,
        ge=1,
        le=64,
        title="At once",
        description="Prompts answered together, in one batch; the number is then the time until all are answered",
        json_schema_extra={"unit": "requests", "unwritten": True},
    )


@dataclass(frozen=True)
class Response:
    """An answer with the moment of each of its tokens, in nanoseconds since it was asked for."""

    tokens: tuple[int, ...]
    token_ns: tuple[int, ...]
    numbers: dict[str, float]
    """What else the runtime tells of it; the same names for each."""


class OneResponse(Scenario[ResponseOptions]):
    """One request after the other, as a person at a chat asks them."""

    name = "response"
    title = "Response"
    summary = "A prompt and an answer of fixed lengths, greedy, one after the other; the number is the whole answer."
    options_type = ResponseOptions
    tasks = frozenset({Task.TEXT_GENERATION})

    def label(self, options: ResponseOptions) -> str:
        """Name both lengths."""
        together = f", {options.requests} at once" if options.requests > 1 else ""
        return f"response, {options.prompt_tokens} tokens in, {options.new_tokens} out{together}"

    def check(self, options: ResponseOptions, positions: int | None) -> None:
        """Refuse a prompt and an answer that are together longer than the model's window."""
        if positions is not None and options.prompt_tokens + options.new_tokens > positions:
            raise InvalidValueError(
                f"response: a prompt of {options.prompt_tokens} and an answer of {options.new_tokens} tokens do not "
                f"fit into the {positions} tokens of this model; choose shorter ones."
            )

    def plan(self, plan: Plan) -> Plan:
        """Ask fewer queries, each of which takes seconds."""
        return replace(plan, min_iterations=max(PROMPTS, plan.min_iterations // QUERIES_OF_A_RESPONSE))

    def time(self, bench: Bench, options: ResponseOptions) -> Arrays:
        """Time whole responses, and note when each of their tokens came."""
        queries = bench.queries(0)
        kept: list[Response] = []

        def keep(answer: object) -> None:
            if isinstance(answer, Response):
                kept.append(answer)

        # Turns are single responses, as many of them on both sides, so that none lacks company at the end.
        samples = measure(queries, bench.plan, bench.clock, bench.between, bench.turns, stretch=False, keep=keep)
        told = {name: np.asarray([answer.numbers[name] for answer in kept]) for name in kept[0].numbers}
        return {
            **as_arrays(samples),
            "queries": np.asarray(len(queries)),
            "requests": np.asarray(options.requests),
            "token_ns": np.asarray([answer.token_ns for answer in kept], dtype=np.int64),
            "tokens": np.asarray([answer.tokens for answer in kept[: len(queries)]], dtype=np.int64),
            **told,
        }

    def read(self, timed: Timed, batch_size: int, options: ResponseOptions) -> Reading:
        """Return the times of whole responses."""
        seconds = timed.seconds()
        (queries,) = {int(report.arrays["queries"]) for report in timed.reports}
        return Reading(seconds, timed.seconds("whole_ns"), seconds, seconds, queries)

    def samples_needed(self, batch_size: int, options: ResponseOptions, samples: int) -> int:
        """Return enough contexts to fill every prompt."""
        return PROMPTS * max(1, -(-options.prompt_tokens // _SHORTEST_CONTEXT))


def respond(stream: Iterator[int], clock: Clock) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return tokens and the nanoseconds after which each came, counted from now."""
    started = clock()
    tokens, moments = [], []
    for token in stream:
        tokens.append(token)
        moments.append(clock() - started)
    return tuple(tokens), tuple(moments)


def prompts(contexts: Sequence[NDArray[np.int64]], length: int) -> list[NDArray[np.int64]]:
    """Return :data:`PROMPTS` different prompts of exactly ``length`` ids, cut from contexts put one behind the other.

    Args:
        contexts: ids of at least one sample; too few of them are repeated.
        length: of every prompt.
    """
    made: list[NDArray[np.int64]] = []
    for number in range(PROMPTS):
        turned: list[Any] = [*contexts[number % len(contexts) :], *contexts[: number % len(contexts)]]
        text = np.concatenate(turned)
        made.append(np.resize(text, length))
    return made
