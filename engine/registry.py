"""One generic registry for everything a person can choose by name."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from engine.errors import UnknownNameError


class Named(Protocol):
    """Anything with a ``name`` by which it is chosen."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Names to entries, in the order of registration.

    Args:
        kind: what an entry is called in messages, for example ``"technique"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, entry: T) -> T:
        """Register ``entry`` under its own name and return it.

        Raises:
            ValueError: if the name is taken; two entries would hide each other.
        """
        if entry.name in self._entries:
            raise ValueError(f"the {self.kind} '{entry.name}' is registered twice")
        self._entries[entry.name] = entry
        return entry

    def get(self, name: str) -> T:
        """Return the entry of that name.

        Raises:
            UnknownNameError: with the closest known name, if there is one.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._entries) from None

    def names(self) -> list[str]:
        """Return all names in the order of registration."""
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
