"""The error tree: drawn in the docstring as it is, and each error fit for a user's eyes."""

import inspect
import re

import pytest

from engine import errors
from engine.errors import SubsecondError, UnknownNameError

CLASSES = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, Exception) and member.__module__ == errors.__name__
]


def drawn() -> dict[str, str]:
    """Return child to parent, as the tree in the docstring shows them."""
    parents, found = {}, {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^([ │├└─]*)([A-Z]\w+Error)\b", line)
        if match:
            depth = len(match.group(1)) // 4
            parents[depth] = match.group(2)
            found[match.group(2)] = parents.get(depth - 1, "Exception")
    return found


def test_the_drawn_tree_is_the_real_one() -> None:
    assert drawn() == {kind.__name__: kind.__base__.__name__ for kind in CLASSES if kind.__base__}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_is_ours_and_says_when_it_comes(kind: type[Exception]) -> None:
    assert issubclass(kind, SubsecondError)
    assert kind.__doc__


@pytest.mark.parametrize(
    ("name", "known", "advice"),
    [
        ("int8-dynamik", ["int8-dynamic", "distill"], "Did you mean 'int8-dynamic'?"),
        ("zzz", ["int8-dynamic", "distill"], "Known: distill, int8-dynamic."),
        ("7", [], "There are none yet."),
    ],
)
def test_an_unknown_name_gets_advice(name: str, known: list[str], advice: str) -> None:
    error = UnknownNameError("technique", name, known)
    assert str(error) == f"There is no technique '{name}'. {advice}"
    assert (error.kind, error.name, error.known) == ("technique", name, sorted(known))
