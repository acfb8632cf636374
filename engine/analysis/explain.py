"""Why a variant is faster, or is not: told from the profiler's operator times, never from what ought to be."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from engine.analysis.wording import Say, retold
from engine.insight import INTEGER_PRODUCTS, SIGNED, Explanation, OperatorShare, ProviderShare
from engine.results import Ratio
from engine.units import format_ratio

CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
BLOCKWISE_PRODUCTS = frozenset({"MatMulNBits", "aten::_weight_int8pack_mm", "aten::_weight_int4pack_mm"})
FLOAT_PRODUCTS = frozenset(
    {
        "Attention",
        "Conv",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Gemm",
        "MatMul",
        "MultiHeadAttention",
        "aten::addmm",
        "aten::bmm",
        "aten::mkldnn_convolution",
        "aten::mm",
    }
)
INTEGER_DOT_FLAGS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
MUCH = 0.15
"""A share of the time from which something is worth a sentence."""
SPARSE = 0.9
"""Below this share of non-zero parameters a model counts as pruned."""
FEWER = 0.8
"""Below this share of what there was, that operators became fewer is worth a sentence."""
LESS = 0.95
"""Below this share of the arithmetic, that there is less of it is worth a sentence."""
SHOWN = 12
NO_FASTER = "No faster than the baseline"
SLOWER = "Slower than the baseline ({ratio})"
FASTER = "{ratio} as fast as the baseline"
VERDICTS = (NO_FASTER, SLOWER, FASTER)
NOT_SEEN = "the profiler of this backend shows no operators"
LARGEST = "{share} of the time is in {n} {kind}"
LEFT_TO = "{share} of the time is in {n} operators that {asked} left to {provider}"
LESS_WORK = "{share} of the arithmetic is left"
PREPROCESSING = "{share} of a whole query is preprocessing, which no compression touches"
FEWER_CORES = "it was given {threads} of the {cores} cores"
CONVERTING = "{share} of the time goes into quantizing and dequantizing"
CONVERTING_AND_FLOATS = CONVERTING + ", {n} products stayed in floating point"
STILL_FLOAT = "{share} of the time is still in {n} floating-point products"
SIGNED_INTEGERS = (
    "{share} of the time is in integer products of signed activations, for which x86 has no fast kernel; unsigned ones "
    "have"
)
INTEGERS_HELPED = "{share} of the time is in {n} integer products, which this processor does with {instruction}"
INTEGERS_UNHELPED = "{share} of the time is in {n} integer products, for which this processor has no instruction"
UNPACKING = "{share} of the time is in products that unpack their weights block by block"
ZEROS = "{share} of the weights are zero, and dense kernels multiply by zero as slowly as by anything else"
FEWER_THAN_BEFORE = "{n} operators do what {earlier} did before"
FEWER_THAN_IN_FILE = "the runtime folded and fused the {earlier} operators of the file into {n} when it loaded them"
REASONS = (
    *(NOT_SEEN, LARGEST, LEFT_TO, LESS_WORK, PREPROCESSING, FEWER_CORES),
    *(CONVERTING, CONVERTING_AND_FLOATS, STILL_FLOAT, SIGNED_INTEGERS, INTEGERS_HELPED, INTEGERS_UNHELPED, UNPACKING),
    *(ZEROS, FEWER_THAN_BEFORE, FEWER_THAN_IN_FILE),
)
"""What an explanation is made of; a record keeps it in English, see :func:`retell`."""


@dataclass(frozen=True)
class Measured:
    """What the explanation is made of, beside the operators themselves."""

    speedup: Ratio
    quantized: bool
    """Whether a technique of the stack quantizes."""
    parameters: int
    nonzero_parameters: int
    isa_flags: tuple[str, ...]
    threads: int
    cores: int
    preprocessing_share: float
    """Of the whole time of a query."""
    in_file: int | None = None
    """Operators of the graph on disk."""
    arithmetic: float | None = None
    """Floating-point operations of the model, as a share of what they were before any technique."""
    providers: tuple[ProviderShare, ...] = ()
    """What computed the graph, the one that was asked for and those that stood in for it."""
    asked: str = ""
    """The provider that was asked for."""


def operator_shares(kinds: Sequence[str], seconds: Sequence[float], calls: Sequence[float]) -> list[OperatorShare]:
    """Add operators up by kind, the most expensive first."""
    spent: dict[str, tuple[float, float]] = {}
    for kind, cost_s, count in zip(kinds, seconds, calls, strict=True):
        before_s, before = spent.get(kind, (0.0, 0.0))
        spent[kind] = (before_s + cost_s, before + count)
    whole_s = sum(cost_s for cost_s, _ in spent.values()) or 1.0
    shares = [
        OperatorShare(kind=kind, calls=count, ms=cost_s * 1e3, share=cost_s / whole_s)
        for kind, (cost_s, count) in spent.items()
    ]
    return sorted(shares, key=lambda share: -share.share)


def provider_shares(
    providers: Sequence[str], seconds: Sequence[float], calls: Sequence[float]
) -> tuple[ProviderShare, ...]:
    """Add operators up by what computed them, the most used first; empty where the runtime does not say."""
    named = [entry for entry in zip(providers, seconds, calls, strict=True) if entry[0]]
    shares = operator_shares(*(list(column) for column in zip(*named, strict=True))) if named else []
    return tuple(ProviderShare(provider=share.kind, operators=share.calls, share=share.share) for share in shares)


def explain(after: Sequence[OperatorShare], before: Sequence[OperatorShare], measured: Measured) -> Explanation:
    """Return one sentence and the reasons behind it.

    Args:
        after: operators of the variant.
        before: operators of what it was made from on the same backend, empty where there is no such thing.
        measured: what else was measured.
    """
    reasons = [*_reasons(after, before, measured)] or [_largest(after)]
    return Explanation(
        sentence=f"{_verdict(measured.speedup)}: {reasons[0]}",
        reasons=tuple(reasons),
        operators=tuple(after[:SHOWN]),
        before=tuple(before[:SHOWN]),
        in_file=measured.in_file,
        providers=measured.providers,
        executed=sum(share.calls for share in after) or None,
    )


def explain_profiles(
    after: Mapping[str, NDArray[Any]], before: Mapping[str, NDArray[Any]], measured: Measured
) -> Explanation:
    """Return the same from what profiling processes sent; ``before`` may be empty."""

    def columns(arrays: Mapping[str, NDArray[Any]], kind: str) -> list[list[Any]]:
        return [arrays[f"operator_{name}"].tolist() for name in (kind, "s", "calls")]

    in_file = int(after["operators_in_file"])
    providers = provider_shares(*columns(after, "provider"))
    return explain(
        operator_shares(*columns(after, "kind")),
        operator_shares(*columns(before, "kind")) if before else [],
        replace(measured, in_file=in_file if in_file >= 0 else None, providers=providers),
    )


def retell(told: Explanation, say: Say) -> tuple[str, list[str]]:
    """Return the sentence and the reasons of a recorded explanation in the reader's language."""
    reasons = [retold(reason, REASONS, say) for reason in told.reasons]
    if not told.reasons:
        return retold(told.sentence, VERDICTS, say), reasons
    verdict = told.sentence.removesuffix(f": {told.reasons[0]}")
    return say("{verdict}: {reason}").format(verdict=retold(verdict, VERDICTS, say), reason=reasons[0]), reasons


def _verdict(speedup: Ratio) -> str:
    if not speedup.is_different:
        return NO_FASTER
    return (SLOWER if speedup.value < 1 else FASTER).format(ratio=format_ratio(speedup.value))


def _largest(after: Sequence[OperatorShare]) -> str:
    if not after:
        return NOT_SEEN
    top = after[0]
    return LARGEST.format(share=f"{top.share:.0%}", n=f"{top.calls:.0f}", kind=top.kind)


def _reasons(after: Sequence[OperatorShare], before: Sequence[OperatorShare], measured: Measured) -> Iterator[str]:
    """Yield what the times say, the most telling first."""
    for fallen in measured.providers:
        if fallen.provider != measured.asked:
            yield LEFT_TO.format(
                share=f"{fallen.share:.0%}",
                n=f"{fallen.operators:.0f}",
                asked=measured.asked,
                provider=fallen.provider,
            )
    yield from _of_quantization(after, measured)
    yield from _of_sparsity(measured)
    if measured.arithmetic is not None and measured.arithmetic < LESS:
        yield LESS_WORK.format(share=f"{measured.arithmetic:.0%}")
    yield from _of_fusion(after, before, measured.in_file)
    if measured.preprocessing_share > MUCH:
        yield PREPROCESSING.format(share=f"{measured.preprocessing_share:.0%}")
    if measured.threads < measured.cores:
        yield FEWER_CORES.format(threads=measured.threads, cores=measured.cores)


def _of_quantization(after: Sequence[OperatorShare], measured: Measured) -> Iterator[str]:
    if not measured.quantized or not after:
        return
    converting, floats = _share(after, CONVERSIONS), _share(after, FLOAT_PRODUCTS)
    integer, blocks = _share(after, INTEGER_PRODUCTS), _share(after, BLOCKWISE_PRODUCTS)
    left = _calls(after, FLOAT_PRODUCTS)
    if converting > MUCH:
        words = CONVERTING_AND_FLOATS if left else CONVERTING
        yield words.format(share=f"{converting:.0%}", n=f"{left:.0f}")
    if floats > MUCH and floats > integer + blocks:
        yield STILL_FLOAT.format(share=f"{floats:.0%}", n=f"{left:.0f}")
    signed = _share([share for share in after if share.kind.endswith(SIGNED)], INTEGER_PRODUCTS)
    if signed > MUCH and any(flag.startswith("avx") for flag in measured.isa_flags):
        yield SIGNED_INTEGERS.format(share=f"{signed:.0%}")
    elif integer > MUCH:
        dot = next((flag for flag in INTEGER_DOT_FLAGS if flag in measured.isa_flags), None)
        words = INTEGERS_HELPED if dot else INTEGERS_UNHELPED
        yield words.format(share=f"{integer:.0%}", n=f"{_calls(after, INTEGER_PRODUCTS):.0f}", instruction=dot)
    if blocks > MUCH:
        yield UNPACKING.format(share=f"{blocks:.0%}")


def _of_sparsity(measured: Measured) -> Iterator[str]:
    if measured.parameters and measured.nonzero_parameters < SPARSE * measured.parameters:
        yield ZEROS.format(share=f"{1 - measured.nonzero_parameters / measured.parameters:.0%}")


def _of_fusion(after: Sequence[OperatorShare], before: Sequence[OperatorShare], in_file: int | None) -> Iterator[str]:
    count, earlier = (sum(share.calls for share in shares) for shares in (after, before))
    if before and count < FEWER * earlier:
        yield FEWER_THAN_BEFORE.format(n=f"{count:.0f}", earlier=f"{earlier:.0f}")
    if in_file and count < FEWER * in_file:
        yield FEWER_THAN_IN_FILE.format(n=f"{count:.0f}", earlier=in_file)


def _share(shares: Sequence[OperatorShare], kinds: frozenset[str]) -> float:
    return sum(share.share for share in shares if share.kind.removesuffix(SIGNED) in kinds)


def _calls(shares: Sequence[OperatorShare], kinds: frozenset[str]) -> float:
    return sum(share.calls for share in shares if share.kind.removesuffix(SIGNED) in kinds)
