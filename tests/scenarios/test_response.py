"""Prompts of one length, answers of another: what is asked, when its tokens came, how few of them are enough."""

from collections.abc import Iterator

import numpy as np
import pytest

from engine.errors import InvalidValueError
from engine.measure.timing import PLANS, Plan, Query
from engine.scenarios.base import Bench
from engine.scenarios.response import PROMPTS, OneResponse, Response, ResponseOptions, prompts, respond
from engine.spec import Effort

SCENARIO = OneResponse()


class Clock:
    """A clock that a token moves on."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def stream(self, first: int, each: int, count: int) -> Iterator[int]:
        for number in range(count):
            self.now += each if number else first
            yield number


def test_moments_are_counted_from_the_request() -> None:
    clock = Clock()
    clock.now = 1000
    assert respond(clock.stream(50, 10, 3), clock) == ((0, 1, 2), (50, 60, 70))


def test_whole_responses_are_timed_and_short_ones_warm_up() -> None:
    clock, asked = Clock(), []

    def ask(prompt: int, count: int) -> Response:
        asked.append((prompt, count))
        tokens, moments = respond(clock.stream(50_000_000, 10_000_000, count), clock)
        return Response(tokens, moments, {"kv_cache_bytes": 7.0})

    queries = [Query(lambda n=n: n, lambda n: ask(n, 5), lambda n: ask(n, 2)) for n in range(PROMPTS)]
    plan = Plan(pairs=1, min_iterations=PROMPTS, min_seconds=0.0, warmup_seconds=0.1)
    arrays = SCENARIO.time(Bench(lambda _: queries, plan, clock, lambda _: None, lambda: None, 0), ResponseOptions())
    assert arrays["run_ns"].tolist() == [90_000_000] * PROMPTS
    assert arrays["token_ns"].tolist() == [[50_000_000, 60_000_000, 70_000_000, 80_000_000, 90_000_000]] * PROMPTS
    assert arrays["tokens"].tolist() == [[0, 1, 2, 3, 4]] * PROMPTS
    assert arrays["kv_cache_bytes"].tolist() == [7.0] * PROMPTS
    assert {count for _, count in asked[: len(asked) - PROMPTS]} == {2}


def test_few_queries_are_enough_to_carry_a_median() -> None:
    for effort, plan in PLANS.items():
        fewer = SCENARIO.plan(plan)
        assert fewer.pairs == plan.pairs
        assert fewer.min_iterations >= PROMPTS
        assert fewer.pairs * fewer.min_iterations >= 11
        assert fewer.min_iterations == {Effort.QUICK: 4, Effort.STANDARD: 8, Effort.RIGOROUS: 16}[effort]


@pytest.mark.parametrize("length", [1, 5, 23, 400])
def test_prompts_have_the_length_asked_for_and_differ(length: int) -> None:
    contexts = [np.arange(10 * number, 10 * number + 7) for number in range(5)]
    made = prompts(contexts, length)
    assert [len(ids) for ids in made] == [length] * PROMPTS
    assert len({tuple(ids.tolist()) for ids in made}) == PROMPTS
    needed = SCENARIO.samples_needed(1, ResponseOptions(prompt_tokens=length), 100)
    assert needed * 8 >= PROMPTS * length


def test_what_does_not_fit_into_the_window_is_refused() -> None:
    options = ResponseOptions(prompt_tokens=100, new_tokens=29)
    SCENARIO.check(options, 129)
    SCENARIO.check(options, None)
    with pytest.raises(InvalidValueError, match="do not fit into the 128 tokens"):
        SCENARIO.check(options, 128)
