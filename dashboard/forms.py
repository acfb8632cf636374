"""From a field of a technique's or backend's parameters to a widget: the only map there is."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import streamlit as st
from pydantic.fields import FieldInfo

from dashboard.language import gettext as _
from engine.spec import Frozen, Scalar

Kind = Literal["switch", "choice", "whole", "number", "text"]
AUTOMATIC = "chosen automatically"
SLIDER_STEPS = 100
"""More steps than this are easier typed than dragged."""


@dataclass(frozen=True)
class Field:
    """What a widget needs to know of a parameter."""

    name: str
    title: str
    help: str
    kind: Kind
    default: Scalar | None
    options: tuple[Scalar, ...] = ()
    low: float | None = None
    high: float | None = None
    step: float | None = None
    optional: bool = False
    """Whether it may be left empty."""

    @property
    def has_choice(self) -> bool:
        """Tell whether there is anything to choose."""
        return self.kind != "choice" or len(self.options) > 1

    @property
    def is_short_range(self) -> bool:
        """Tell whether a slider serves better than a box to type in: a share, or a handful of whole numbers."""
        if self.low is None or self.high is None or self.step is None or self.optional:
            return False
        if self.kind == "number" and not 0.1 < self.high <= 1:
            return False
        return round((self.high - self.low) / self.step) <= SLIDER_STEPS


def fields_of(config: type[Frozen], found: Mapping[str, Sequence[str]] | None = None) -> list[Field]:
    """Return the parameters of a configuration, in its order.

    Args:
        config: the parameters' type.
        found: what a machine was found to offer for a free parameter, the names of its devices for example.
    """
    offered = {name: tuple(values) for name, values in (found or {}).items() if values}
    fields = []
    for name, info in config.model_fields.items():
        field, extra = _field(name, info), info.json_schema_extra
        if name in offered or (isinstance(extra, dict) and extra.get("found_by_trying")):
            default = () if field.default is None else (field.default,)
            field = replace(field, kind="choice", options=offered.get(name, default))
        fields.append(field)
    return fields


def parameters(
    config: type[Frozen], prefix: str, *, disabled: bool = False, found: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Scalar]:
    """Draw one widget a parameter and return what was chosen; an empty optional parameter is left out.

    Args:
        config: the parameters' type.
        prefix: first part of the widgets' session keys.
        disabled: show the widgets without letting them be used.
        found: as in :func:`fields_of`.
    """
    chosen: dict[str, Scalar] = {}
    for field in fields_of(config, found):
        value = _draw(field, f"{prefix}_{field.name}", disabled) if field.has_choice else field.default
        if value is not None:
            chosen[field.name] = value
    return chosen


def plain_title(name: str, info: FieldInfo) -> str:
    """Return what a parameter is called, in English."""
    return info.title or name.replace("_", " ").capitalize()


def _draw(field: Field, key: str, disabled: bool) -> Scalar | None:
    common: dict[str, Any] = {"key": key, "help": field.help or None, "disabled": disabled, "persist_state": "session"}
    if field.kind == "switch":
        return st.toggle(field.title, value=bool(field.default), **common)
    if field.kind == "choice":
        index = field.options.index(field.default) if field.default in field.options else 0
        choice: Scalar = st.selectbox(field.title, field.options, index=index, **common)
        return choice
    if field.kind == "text":
        return st.text_input(field.title, value=str(field.default or ""), **common) or None
    return _draw_whole(field, common) if field.kind == "whole" else _draw_fraction(field, common)


def _draw_whole(field: Field, common: dict[str, Any]) -> int | None:
    low, high, default = (None if value is None else int(value) for value in (field.low, field.high, field.default))
    if field.is_short_range:
        return int(st.slider(field.title, low, high, default, 1, **common))
    typed = st.number_input(field.title, low, high, default, 1, placeholder=_(AUTOMATIC), **common)
    return None if typed is None else int(typed)


def _draw_fraction(field: Field, common: dict[str, Any]) -> float | None:
    default = None if field.default is None else float(field.default)
    if field.is_short_range:
        return float(st.slider(field.title, field.low, field.high, default, field.step, **common))
    return st.number_input(
        field.title, field.low, field.high, default, field.step, format="%g", placeholder=_(AUTOMATIC), **common
    )


def _field(name: str, info: FieldInfo) -> Field:
    annotation, optional = _without_none(info.annotation)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    kind, options = _kind(annotation)
    if isinstance(names := extra.get("enum"), list):  # of names that are only known when the program runs
        kind, options = "choice", tuple(str(name) for name in names)
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    if isinstance(default, Enum):
        default = default.value
    low, high = _bounds(info, kind, default)
    title, unit = plain_title(name, info), str(extra.get("unit", ""))
    return Field(
        name=name,
        title=f"{_(title)} ({_(unit)})" if unit and unit != title.lower() else _(title),
        help=_(info.description) if info.description else "",
        kind=kind,
        default=default,
        options=options,
        low=low,
        high=high,
        step=_step(info, kind, high),
        optional=optional,
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        others = [part for part in get_args(annotation) if part is not type(None)]
        if len(others) == 1:
            return others[0], True
    return annotation, False


def _kind(annotation: Any) -> tuple[Kind, tuple[Scalar, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    if isinstance(annotation, type):
        if issubclass(annotation, Enum):
            return "choice", tuple(member.value for member in annotation)
        if issubclass(annotation, bool):
            return "switch", ()
        if issubclass(annotation, int):
            return "whole", ()
        if issubclass(annotation, float):
            return "number", ()
    return "text", ()


def _bounds(info: FieldInfo, kind: Kind, default: Scalar | None) -> tuple[float | None, float | None]:
    """Return the smallest and the largest value a widget may give; excluded bounds move in."""
    rules = {type(rule): rule for rule in info.metadata}
    low, high = (_bound(rules, *kinds) for kinds in (("ge", "gt"), ("le", "lt")))
    inner = 1.0 if kind == "whole" else 0.01 if high is None or high > 0.1 else high / 100
    if low is not None and annotated_types.Gt in rules:
        low += inner
    if high is not None and annotated_types.Lt in rules:
        high -= inner
    if isinstance(default, int | float):
        low, high = (None if low is None else min(low, default)), (None if high is None else max(high, default))
    return low, high


def _bound(rules: dict[type, Any], *names: str) -> float | None:
    for rule in rules.values():
        for name in names:
            value = getattr(rule, name, None)
            if value is not None:
                return float(value)
    return None


def _step(info: FieldInfo, kind: Kind, high: float | None) -> float | None:
    for rule in info.metadata:
        if isinstance(rule, annotated_types.MultipleOf):
            return float(str(rule.multiple_of))
    if kind == "whole":
        return 1.0
    if kind != "number":
        return None
    if high is not None and high <= 1:
        return 0.01 if high > 0.1 else high / 100
    return 0.1 if high is not None and high <= 20 else 0.5
