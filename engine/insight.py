"""What a run found out beside its verdict: what each step did, where the time goes, and why."""

from typing import Literal

from pydantic import Field

from engine.spec import Frozen

INTEGER_PRODUCTS = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QAttention",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
        "aten::_int_mm",
    }
)
"""Kinds of operators that multiply integers, as the runtimes name them."""
SIGNED = " (signed)"
"""Behind the kind of an integer product whose activations are signed."""


class StepEffect(Frozen):
    """What a model was after one step of the stack, so that a reader sees which step cost or saved what."""

    name: str
    accuracy: float = Field(description="on the validation split; the test split never steers anything")
    size_bytes: int
    parameters: int
    nonzero_parameters: int
    flops: float | None = Field(description="floating-point operations of one typical sample; none where unknown")
    note: str = Field(default="", description="what the step found out, the operators it left alone for example")


class OperatorShare(Frozen):
    """All operators of one kind in a query, as the runtime's profiler saw them."""

    kind: str
    calls: float
    ms: float
    share: float = Field(description="of the time of all operators")


class ProviderShare(Frozen):
    """What one part of a runtime computed of a graph: ONNX Runtime spreads it over execution providers."""

    provider: str
    operators: float = Field(description="calls in a query")
    share: float = Field(description="of the time of all operators")


class Explanation(Frozen):
    """Why a variant is faster, or is not, told from operator times."""

    sentence: str
    reasons: tuple[str, ...] = Field(description="the most telling first")
    operators: tuple[OperatorShare, ...]
    before: tuple[OperatorShare, ...] = Field(description="of the same graph before it was quantized or fused")
    in_file: int | None = Field(default=None, description="operators of the graph on disk; none without a graph")
    providers: tuple[ProviderShare, ...] = Field(
        default=(), description="the most used first; empty where a runtime has one only"
    )
    executed: float | None = Field(default=None, description="operators in a query, after the runtime's own rewriting")


class LayerEffect(Frozen):
    """One layer of a variant: where its time, its bytes and its errors are."""

    name: str
    kinds: str = Field(description="the operators it consists of")
    ms: float = Field(description="in a query, as the runtime's profiler saw it")
    share: float = Field(description="of the time of all layers")
    size_bytes: int
    error: float | None = Field(
        description="root mean square of its difference from the parent's values, over that of the parent's values"
    )
    sensitivity: float | None = Field(description="mean squared change of the logits when it alone is quantized")


class Layout(Frozen):
    """One way to spread the work over processes and their threads."""

    kind: Literal["copies", "pipeline"] = Field(description="a pipeline has half of the model in each process")
    processes: int
    threads: int = Field(description="of each process")

    @property
    def title(self) -> str:
        """Name it: ``"2 processes with 1 thread each"``."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        if self.kind == "pipeline":
            return f"a pipeline of {self.processes} processes with {threads} each"
        return f"1 process with {threads}" if self.processes == 1 else f"{self.processes} processes with {threads} each"


class LayoutRate(Frozen):
    """How many samples a second a layout serves."""

    layout: Layout
    rate_per_s: float = Field(description="the median over rounds")
    lowest: float
    highest: float
