"""What can be chosen beside what was chosen already, and the sentence for what cannot."""

from collections.abc import Collection, Sequence
from typing import Any

from dashboard.language import gettext as _
from engine.backends import BACKENDS
from engine.backends.base import Backend
from engine.resolve import missing_packages, suits
from engine.results import Capability, MachineRecord
from engine.spec import Task
from engine.techniques import TECHNIQUES
from engine.techniques.base import Group, Technique

TASK_WORDS = {
    Task.IMAGE_CLASSIFICATION: "images",
    Task.TEXT_CLASSIFICATION: "texts",
    Task.TEXT_GENERATION: "language models",
}
GROUP_TITLES = {
    Group.DISTILLATION: "Distil: teach a smaller model",
    Group.PRUNING: "Prune: remove what matters least",
    Group.GRAPH: "Static graph: fewer, larger operators",
    Group.QUANTIZATION: "Quantize: fewer bits a number",
    Group.ADAPTIVE: "Adapt: spend time by what comes in",
}


def capabilities(machines: Sequence[MachineRecord]) -> dict[str, Capability]:
    """Return what the machine that runs the engine can do, or this one where no engine has described itself yet."""
    if not machines:
        return {backend.name: backend.capabilities() for backend in BACKENDS}
    known = {entry.backend: entry for entry in machines[0].capabilities}
    unheard = _("The engine that ran here last did not know it; start the engine anew.")
    return {
        name: known.get(name) or Capability(backend=name, available=False, reason=unheard) for name in BACKENDS.names()
    }


def why_not_backend(backend: Backend[Any], known: dict[str, Capability], task: Task) -> str | None:
    """Return why a backend cannot be chosen here and what would enable it, ``None`` where it can."""
    if task not in backend.tasks:
        return _works_on(backend.tasks)
    capability = known[backend.name]
    if capability.available:
        return None
    return capability.reason or _("{name} is not installed on this machine.").format(name=_(backend.title))


def why_not_technique(
    technique: Technique[Any], task: Task, backend: Backend[Any], chosen: Collection[str]
) -> str | None:
    """Return why a technique cannot be added and what would enable it, ``None`` where it can.

    Args:
        technique: what might be added.
        task: what the model is for.
        backend: what the stack is going to run on.
        chosen: names of the techniques that are in the stack already.
    """
    if task not in technique.tasks:
        return _works_on(technique.tasks)
    if missing := missing_packages(technique):
        return _("Needs {names}: {command}").format(
            names=", ".join(missing), command=f"pip install {' '.join(missing)}"
        )
    if not suits(technique, backend):
        able = [_(other.title) for other in BACKENDS if suits(technique, other)]
        choice = _(" or ").join(able) or _("another backend")
        return _("Cannot transform what {backend} loads; choose {choice}.").format(
            backend=_(backend.title), choice=choice
        )
    rivals = [_(other.title) for other in _others(chosen, technique) if _exclude(technique, other)]
    if rivals:
        said = _("Cannot be combined with {names}; switch that off first.")
        return said.format(names=_(" and ").join(rivals))
    return None


def techniques_by_group() -> dict[Group, list[Technique[Any]]]:
    """Return all techniques under their group, in the order in which the groups are read."""
    groups = {group: [technique for technique in TECHNIQUES if technique.group is group] for group in Group}
    return {group: members for group, members in groups.items() if members}


def _works_on(tasks: Collection[Task]) -> str:
    fitting = _(" and ").join(_(TASK_WORDS[task]) for task in sorted(tasks))
    return _("Works on {models}; choose such a model.").format(models=fitting)


def _others(chosen: Collection[str], technique: Technique[Any]) -> list[Technique[Any]]:
    return [TECHNIQUES.get(name) for name in chosen if name != technique.name and name in TECHNIQUES]


def _exclude(one: Technique[Any], other: Technique[Any]) -> bool:
    both_quantize = one.group is other.group and one.exclusive and other.exclusive
    cut_in_two = (one.splits_model and other.needs_whole_model) or (other.splits_model and one.needs_whole_model)
    return both_quantize or cut_in_two
