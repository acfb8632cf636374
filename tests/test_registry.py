"""The registry: order kept, doubles refused, close names offered."""

from dataclasses import dataclass

import pytest

from engine.errors import UnknownNameError
from engine.registry import Registry


@dataclass(frozen=True)
class Fruit:
    name: str


@pytest.fixture
def fruits() -> Registry[Fruit]:
    registry: Registry[Fruit] = Registry("fruit")
    for name in ("pear", "apple", "cherry"):
        registry.add(Fruit(name))
    return registry


def test_entries_keep_the_order_of_registration(fruits: Registry[Fruit]) -> None:
    assert fruits.names() == [fruit.name for fruit in fruits] == ["pear", "apple", "cherry"]
    assert len(fruits) == 3


def test_an_entry_is_found_by_its_name(fruits: Registry[Fruit]) -> None:
    assert fruits.get("apple") == Fruit("apple")
    assert "apple" in fruits
    assert "plum" not in fruits
    assert 7 not in fruits


def test_a_name_can_be_taken_once(fruits: Registry[Fruit]) -> None:
    with pytest.raises(ValueError, match="fruit 'apple' is registered twice"):
        fruits.add(Fruit("apple"))
    assert len(fruits) == 3


def test_an_unknown_name_is_refused_with_the_closest(fruits: Registry[Fruit]) -> None:
    with pytest.raises(UnknownNameError, match=r"There is no fruit 'aple'\. Did you mean 'apple'\?"):
        fruits.get("aple")


def test_names_are_a_copy(fruits: Registry[Fruit]) -> None:
    fruits.names().clear()
    assert len(fruits) == 3
