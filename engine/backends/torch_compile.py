"""PyTorch compiled: Inductor writes and compiles C++ for the model when it is first asked."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from engine.backends.base import Generator, Inputs, OperatorTime, Session
from engine.backends.lookup import with_lookup
from engine.backends.torch_eager import TorchEager, TorchOptions, TorchSession, loaded, operator_times
from engine.backends.torch_text import TorchGenerator
from engine.models.base import Artifact, TrainedModel
from engine.results import Capability

COMPILERS = ("g++", "clang++", "c++")


class TorchCompileOptions(TorchOptions):
    """Options of the compiler."""

    mode: Literal["default", "reduce-overhead", "max-autotune"] = Field(
        default="default",
        title="Mode",
        description="How hard Inductor tries: reduce-overhead records CUDA graphs, max-autotune times several kernels "
        "when it compiles",
    )
    dynamic: bool = Field(
        default=True,
        title="Dynamic shapes",
        description="Compile once for all lengths and batch sizes, not once for each",
    )


class TorchCompile(TorchEager):
    """The same artifact as eager, compiled in the process that runs it."""

    name = "torch-compile"
    title = "PyTorch compiled"
    summary = "The model as compiled C++; faster than eager for a cold start of many seconds, and int8 pays here."
    options_type = TorchCompileOptions
    takes_split_models = False

    def capabilities(self) -> Capability:
        """Look for the distribution and for a C++ compiler."""
        found = super().capabilities()
        if found.available and not any(map(shutil.which, COMPILERS)):
            reason = "torch.compile needs a C++ compiler: install g++ (on Debian: apt install g++)"
            return Capability(backend=self.name, available=False, reason=reason)
        return found

    def try_options(self) -> dict[str, tuple[str, ...]]:
        """Compile an addition, which fails where the C++ compiler does not work."""
        import torch

        compile_: Any = torch.compile
        doubled = compile_(lambda value: value + value)
        seen = super().try_options()["device"]
        return {"device": tuple(device for device in seen if float(doubled(torch.ones(8, device=device)).sum()) == 16)}

    def load(self, artifact: Artifact, options: TorchOptions) -> Session:
        """Wrap the model; it is compiled at the first query, which therefore counts as cold start."""
        return TorchSession(_compiled(artifact, options), options.device)

    def load_generator(self, artifact: Artifact, options: TorchOptions) -> Generator:
        """Wrap the model; prompts and single tokens are compiled one after the other, when they are first read."""
        return with_lookup(TorchGenerator(_compiled(artifact, options)), artifact)

    def profile(
        self, artifact: Artifact, options: TorchOptions, queries: Sequence[Inputs], scratch: Path
    ) -> list[OperatorTime]:
        """Return each kernel's own time; a compiled kernel tells no layer."""
        from torch.profiler import ProfilerActivity, profile

        session = self.load(artifact, options)
        for inputs in queries:
            session.run(inputs)
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for inputs in queries:
                session.run(inputs)
        return operator_times(profiler.events(), {}, len(queries))


def _compiled(artifact: Artifact, options: TorchOptions) -> TrainedModel:
    """Read an artifact whose module is compiled when it is first called."""
    import torch

    model, chosen = loaded(artifact, options), TorchCompileOptions.model_validate(options.model_dump())
    compile_: Any = torch.compile
    model.module = compile_(model.module.eval().to(options.device), dynamic=chosen.dynamic, mode=chosen.mode)
    return model
