"""Making a student think like its teacher: the distance between what happens inside the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from engine.datasets.base import Split
from engine.errors import InvalidValueError
from engine.models.base import TrainedModel
from engine.models.training import encode

if TYPE_CHECKING:
    import torch
    from torch import nn

Distance = Callable[["torch.Tensor"], "torch.Tensor"]
"""From the indices ``(batch,)`` of the samples the student has just seen to a scalar."""


@contextmanager
def matching(
    teacher: TrainedModel, student: TrainedModel, split: Split, hidden_weight: float, attention_weight: float
) -> Iterator[Distance]:
    """Yield the distance between the two models' layers, to be added to a loss after the student's forward pass.

    It is the mean squared difference of hidden states, and of attention maps averaged over heads, between each student
    layer and the teacher layer that stands as deep (Jiao et al. 2020, TinyBERT, equations 7 and 8; there the heads are
    paired, here their mean, so that a student may have fewer of them). Padding does not count.

    Raises:
        InvalidValueError: if the two have no layers to match.
    """
    import torch

    pairs = _pairs(teacher, student)
    if not pairs:
        raise InvalidValueError(
            "This model has no repeated layers to match. Set hidden_weight and attention_weight to 0."
        )
    with ExitStack() as hooks:
        theirs = hooks.enter_context(_watched(teacher))
        mine = hooks.enter_context(_watched(student))
        teacher.module.eval()

        def distance(indices: torch.Tensor) -> torch.Tensor:
            inputs = encode(teacher, split, indices.numpy())
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                teacher.family.logits(teacher.module, inputs)
            mask = inputs["attention_mask"].float()
            total = torch.zeros(())
            for of_student, of_teacher in pairs:
                if hidden_weight:
                    total = total + hidden_weight * _squared(mine.hidden[of_student], theirs.hidden[of_teacher], mask)
                if attention_weight:
                    maps = (mine.attention[of_student].mean(dim=1), theirs.attention[of_teacher].mean(dim=1))
                    total = total + attention_weight * _squared(*maps, mask)
            return total / len(pairs)

        yield distance


def _pairs(teacher: TrainedModel, student: TrainedModel) -> list[tuple[int, int]]:
    """Return which layer of the student answers to which of the teacher, both counted from 0."""
    theirs, mine = (len(model.family.blocks(model.module)) for model in (teacher, student))
    return [(number, round((number + 1) * theirs / mine) - 1) for number in range(mine)]


def _squared(one: torch.Tensor, other: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of two ``(batch, sequence, width)`` tensors where ``mask`` is 1."""
    difference = (one.float() - other.float()).square().mean(dim=-1)
    return (difference * mask).sum() / mask.sum()


class _Seen:
    """The last outputs of a model's layers."""

    def __init__(self) -> None:
        self.hidden: dict[int, torch.Tensor] = {}
        self.attention: dict[int, torch.Tensor] = {}


@contextmanager
def _watched(model: TrainedModel) -> Iterator[_Seen]:
    """Keep what the layers of a model put out in its last forward pass."""
    seen = _Seen()

    def keeper(kept: dict[int, torch.Tensor], number: int, place: int) -> Callable[..., None]:
        def keep(module: nn.Module, given: Any, output: Any) -> None:
            parts: Sequence[Any] = output if isinstance(output, tuple) else (output,)
            kept[number] = parts[place]

        return keep

    modules = [
        *((block, keeper(seen.hidden, n, 0)) for n, block in enumerate(model.family.blocks(model.module))),
        *((block, keeper(seen.attention, n, 1)) for n, block in enumerate(model.family.attentions(model.module))),
    ]
    hooks = [module.register_forward_hook(keep) for module, keep in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
