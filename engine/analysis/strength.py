"""One knob for those who do not want to choose techniques: how hard a model is compressed."""

from dataclasses import dataclass

Stack = tuple[str, ...]


@dataclass(frozen=True)
class Strength:
    """One notch of the knob, with the stacks that stand for it, the first that fits a model and backend is taken."""

    name: str
    title: str
    summary: str
    stacks: tuple[Stack, ...]


STRENGTHS: tuple[Strength, ...] = (
    Strength("none", "None", "The model as it is, on the faster backend. No answer changes.", ((),)),
    Strength(
        "gentle",
        "Gentle",
        "Fewer, larger operators. Hardly an answer changes.",
        (("fuse",), ("bf16",), ()),
    ),
    Strength(
        "medium",
        "Medium",
        "Eight bits a weight: a quarter of the size, much faster, at most a few answers in a hundred change.",
        (("fuse", "int8-dynamic"), ("int8-static",), ("int8-dynamic",), ("int8-weight-only",)),
    ),
    Strength(
        "strong",
        "Strong",
        "Whole heads, neurons and channels go, the rest gets eight bits; some training wins back what was lost. "
        "Language models get four bits a weight.",
        (
            ("prune-structured", "fuse", "int8-dynamic"),
            ("prune-structured", "int8-static"),
            ("prune-structured", "int8-dynamic"),
            ("int4-mixed",),
            ("int4-weight-only",),
        ),
    ),
    Strength(
        "extreme",
        "Extreme",
        "A much smaller model learns from this one, in eight bits: the fastest, and some points of accuracy go. "
        "Language models lose layers.",
        (
            ("distill", "fuse", "int8-dynamic"),
            ("distill", "int8-static"),
            ("distill", "int8-dynamic"),
            ("prune-layers", "int4-mixed"),
            ("prune-layers", "int4-weight-only"),
        ),
    ),
)


def strength(name: str) -> Strength:
    """Return the notch of that name, ``"medium"`` where there is none."""
    return next((entry for entry in STRENGTHS if entry.name == name), STRENGTHS[2])
