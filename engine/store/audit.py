"""Who came and did what: one JSON document a line in ``runs/audit.jsonl``."""

import contextlib
import inspect
import json
import logging
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from engine.store.folders import runs_folder
from engine.store.part import Part

_log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Part)

FILE = "audit.jsonl"
LARGEST_BYTES = 5_000_000
"""Then the file becomes ``audit.jsonl.1``, and an older one of that name is gone."""
_NAMED = 10


def audited(*kept: str) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Note each successful call of a method with these of its arguments, and the ids it returns.

    Prompts, notes and specs are not kept: they are nobody's business, or stand in the database anyway.
    """

    def mark(function: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        signature = inspect.signature(function)

        @wraps(function)
        def call(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
            result = function(self, *args, **kwargs)
            given = signature.bind(self, *args, **kwargs).arguments
            facts = {name: _short(given[name]) for name in kept if given.get(name) is not None}
            if isinstance(result, int | list) and not isinstance(result, bool):
                facts["result"] = _short(result)
            _write(self, function.__name__, facts)
            return result

        return cast("Callable[Concatenate[S, P], R]", call)

    return mark


def read_audit(path: Path | None, limit: int = 100) -> list[dict[str, Any]]:
    """Return the last entries of a database's audit log, the newest first; what is damaged is left out."""
    try:
        lines = _file_of(path).read_text("utf-8", errors="replace").splitlines()[-limit:]
    except OSError:
        return []
    found = []
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


class Audit(Part):
    """Who was let in and who was not; what they change is noted by the methods that change it."""

    @audited("way")
    def signed_in(self, way: str) -> None:
        """Note that somebody was let in with a ``"token"`` or a ``"login"``."""

    @audited("way")
    def turned_away(self, way: str) -> None:
        """Note that somebody had no token that is known, or is not on the list."""

    def audit(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the last entries of the audit log, the newest first."""
        return read_audit(self._database.path, limit)


def _write(part: Part, action: str, facts: dict[str, Any]) -> None:
    path = _file_of(part._database.path)
    entry = {"time": part._now().isoformat(timespec="seconds"), "who": part._actor, "did": action, **facts}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LARGEST_BYTES:
            path.replace(path.with_name(f"{FILE}.1"))
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
    except OSError as error:
        _log.warning("%s was not noted in the audit log: %s", action, error)


def _file_of(database: Path | None) -> Path:
    return runs_folder(database) / FILE


def _short(value: Any) -> Any:
    """Return what stands for a value: itself, or the first of many with their number."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        items = [_short(item) for item in value[:_NAMED]]
        return items if len(value) <= _NAMED else {"first": items, "count": len(value)}
    return value if isinstance(value, int) else str(value)[:100]
