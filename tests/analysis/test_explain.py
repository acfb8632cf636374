"""The reasons follow from operator times: made-up times must give the sentence a person would write."""

from dataclasses import replace

import pytest

from engine.analysis.explain import REASONS, Measured, explain, operator_shares, provider_shares, retell
from engine.analysis.wording import in_english
from engine.insight import OperatorShare
from engine.results import Ratio


def measured(
    speedup: float = 2.0,
    *,
    quantized: bool = False,
    nonzero: int = 100,
    flags: tuple[str, ...] = ("avx512_vnni",),
    preprocessing: float = 0.02,
    tied: bool = False,
    cores: int = 2,
    in_file: int | None = None,
    arithmetic: float | None = None,
) -> Measured:
    low, high = (speedup * 0.5, speedup * 2) if tied else (speedup * 0.98, speedup * 1.02)
    ratio = Ratio(value=speedup, ci95=(low, high), pairs=3)
    return Measured(ratio, quantized, 100, nonzero, flags, 2, cores, preprocessing, in_file, arithmetic)


def shares(**ms: float) -> list[OperatorShare]:
    """Return one call of each kind with that many milliseconds."""
    kinds = [kind.replace("__", "::") for kind in ms]
    return operator_shares(kinds, [value / 1e3 for value in ms.values()], [1.0] * len(ms))


def test_operators_are_added_up_by_kind_and_sorted_by_time() -> None:
    found = operator_shares(["Add", "MatMul", "Add"], [0.001, 0.006, 0.001], [1, 2, 3])
    assert [(share.kind, share.calls, share.ms, share.share) for share in found] == [
        ("MatMul", 2, pytest.approx(6), pytest.approx(0.75)),
        ("Add", 4, pytest.approx(2), pytest.approx(0.25)),
    ]


def test_the_verdict_is_that_of_the_speedup() -> None:
    after = shares(MatMul=1)
    assert explain(after, [], measured(3.0)).sentence.startswith("3.00x as fast as the baseline: ")
    assert explain(after, [], measured(0.5)).sentence.startswith("Slower than the baseline (0.500x): ")
    assert explain(after, [], measured(1.1, tied=True)).sentence.startswith("No faster than the baseline: ")


def test_time_lost_in_conversions_is_the_first_reason() -> None:
    after = shares(QuantizeLinear=2, DequantizeLinear=3, MatMul=4, Add=1)
    told = explain(after, [], measured(0.5, quantized=True))
    assert "50% of the time goes into quantizing and dequantizing, 1 products stayed in floating point" in told.sentence


def test_products_left_in_floating_point_are_counted() -> None:
    told = explain(shares(Conv=8, MatMulInteger=1, Add=1), [], measured(quantized=True))
    assert "80% of the time is still in 1 floating-point products" in told.sentence


@pytest.mark.parametrize(
    ("flags", "words"),
    [(("avx2", "avx512_vnni"), "does with avx512_vnni"), (("avx2",), "for which this processor has no instruction")],
)
def test_integer_products_name_the_instruction_that_helps(flags: tuple[str, ...], words: str) -> None:
    told = explain(shares(MatMulInteger=9, Add=1), [], measured(quantized=True, flags=flags))
    assert "90% of the time is in 1 integer products" in told.sentence
    assert words in told.sentence


def test_zeros_that_nobody_skips_are_named() -> None:
    told = explain(shares(MatMul=1), [], measured(1.0, nonzero=40, tied=True))
    assert told.sentence.endswith(
        "60% of the weights are zero, and dense kernels multiply by zero as slowly as by anything else"
    )


def test_fewer_operators_than_before_are_counted() -> None:
    before = operator_shares(["MatMul", "Add"], [0.004, 0.001], [30, 70])
    after = operator_shares(["Attention"], [0.003], [6])
    assert "6 operators do what 100 did before" in explain(after, before, measured()).sentence


def test_preprocessing_that_weighs_is_named() -> None:
    told = explain(shares(MatMul=1), [], measured(preprocessing=0.4))
    assert told.reasons[0] == "40% of a whole query is preprocessing, which no compression touches"


def test_without_operators_there_is_still_a_sentence() -> None:
    assert explain([], [], measured()).sentence.endswith("the profiler of this backend shows no operators")


def test_signed_activations_are_named_where_they_are_slow() -> None:
    after = operator_shares(["QLinearMatMul (signed)", "Add"], [0.008, 0.002], [36.0, 1.0])
    told = explain(after, [], measured(0.4, quantized=True))
    assert told.sentence.startswith(
        "Slower than the baseline (0.400x): 80% of the time is in integer products of signed"
    )
    elsewhere = explain(after, [], measured(2.0, quantized=True, flags=("asimddp",)))
    assert "36 integer products, which this processor does with asimddp" in elsewhere.sentence


def test_what_the_runtime_folded_and_fused_is_counted() -> None:
    after = operator_shares(["MatMul", "Add"], [0.008, 0.002], [36.0, 64.0])
    told = explain(after, [], measured(in_file=400))
    assert (told.in_file, told.executed) == (400, 100)
    assert "the runtime folded and fused the 400 operators of the file into 100 when it loaded them" in told.reasons
    assert not any("folded" in reason for reason in explain(after, [], measured(in_file=110)).reasons)


def test_idle_cores_are_named() -> None:
    assert "it was given 2 of the 8 cores" in explain(shares(MatMul=1), [], measured(cores=8)).reasons
    assert not any("cores" in reason for reason in explain(shares(MatMul=1), [], measured()).reasons)


def test_less_arithmetic_is_the_reason_of_a_smaller_model() -> None:
    told = explain(shares(MatMul=1), [], measured(2.5, arithmetic=0.43))
    assert told.sentence == "2.50x as fast as the baseline: 43% of the arithmetic is left"
    assert not any("arithmetic" in reason for reason in explain(shares(MatMul=1), [], measured(arithmetic=1)).reasons)


def test_where_nothing_else_is_to_say_the_largest_operator_is_named() -> None:
    assert explain(shares(MatMul=3, Add=1), [], measured()).reasons == ("75% of the time is in 1 MatMul",)


def test_what_a_provider_left_to_another_is_said_first() -> None:
    shares = provider_shares(["cuda", "cpu", "cuda"], [0.6, 0.3, 0.1], [4, 2, 1])
    assert [(entry.provider, entry.operators) for entry in shares] == [("cuda", 5), ("cpu", 2)]
    told = explain([], [], replace(measured(), providers=shares, asked="cuda"))
    assert told.reasons[0] == "30% of the time is in 2 operators that cuda left to cpu"
    assert told.providers == shares
    alone = provider_shares(["cpu"], [1.0], [3])
    assert "left to" not in explain([], [], replace(measured(), providers=alone, asked="cpu")).sentence


def test_a_runtime_without_providers_has_none() -> None:
    assert provider_shares(["", ""], [1.0, 2.0], [1, 1]) == ()


def test_a_recorded_explanation_is_told_again_in_another_language() -> None:
    after = operator_shares(["QuantizeLinear", "MatMul", "MatMulInteger"], [0.3, 0.3, 0.4], [5, 10, 20])
    before = operator_shares(["MatMul"], [1.0], [99])
    told = explain(after, before, measured(0.5, quantized=True, nonzero=40, preprocessing=0.3, cores=4, arithmetic=0.5))
    assert len(told.reasons) > 4
    assert retell(told, in_english) == (told.sentence, list(told.reasons))
    sentence, reasons = retell(told, lambda template: "ja" if template in REASONS else template)
    assert reasons == ["ja"] * len(told.reasons)
    assert sentence == "Slower than the baseline (0.500x): ja"
