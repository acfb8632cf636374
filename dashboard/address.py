"""Widgets whose value stands in the address, so that a link restores what was seen.

Streamlit's own ``bind="query-params"`` writes what a choice is *called*, which differs between languages; here the
address holds the choice's own short name. A value that is the default does not stand in the address.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

T = TypeVar("T")
SEEN = "@address"
"""Behind a key: what this session last read from or wrote to the address."""


def select(label: str, options: Sequence[str], default: str, key: str, **more: Any) -> str:
    """Draw a drop-down; a name in the address that is no option is ignored."""
    _prepare(key, default, lambda text: text if text in options else None, options.__contains__)
    return _remember(key, str(st.selectbox(label, options, key=key, **more)), default)


def segments(label: str, options: Sequence[str], default: str, key: str, **more: Any) -> str:
    """Draw a row of buttons of which one is pressed."""
    _prepare(key, default, lambda text: text if text in options else None, options.__contains__)
    return _remember(key, st.segmented_control(label, options, required=True, key=key, **more) or default, default)


def steps(label: str, options: Sequence[str], default: str, key: str, **more: Any) -> str:
    """Draw a slider over named steps."""
    _prepare(key, default, lambda text: text if text in options else None, options.__contains__)
    return _remember(key, str(st.select_slider(label, options, key=key, **more)), default)


def several(label: str, options: Sequence[str], key: str, **more: Any) -> list[str]:
    """Draw a choice of any number of options."""

    def parse(text: str) -> list[str]:
        return [name for name in text.split("|") if name in options]

    nothing: list[str] = []
    _prepare(key, nothing, parse, lambda chosen: all(name in options for name in chosen))
    return _remember(key, st.multiselect(label, options, key=key, **more), nothing, "|".join)


def toggle(label: str, default: bool, key: str, **more: Any) -> bool:
    """Draw a switch."""
    _prepare(key, default, {"on": True, "off": False}.get, lambda value: isinstance(value, bool))
    return _remember(key, st.toggle(label, key=key, **more), default, lambda value: "on" if value else "off")


def number(label: str, key: str, **more: Any) -> float | None:
    """Draw a box for a number, empty by default."""
    _prepare(key, None, _number, lambda value: value is None or value >= more.get("min_value", value))
    typed: float | None = st.number_input(label, value=None, key=key, **more)
    return _remember(key, typed, None, lambda value: f"{value:g}")


def text(label: str, key: str, **more: Any) -> str:
    """Draw a line of text, empty by default."""
    _prepare(key, "", str, lambda value: isinstance(value, str))
    return _remember(key, str(st.text_input(label, key=key, **more)), "").strip()


def slider(label: str, low: int, high: int, default: int, key: str, **more: Any) -> int:
    """Draw a slider over whole numbers."""

    def parse(text: str) -> int | None:
        return int(text) if text.isdecimal() and low <= int(text) <= high else None

    _prepare(key, default, parse, lambda value: low <= value <= high)
    return int(_remember(key, st.slider(label, low, high, key=key, **more), default))


def ticked(names: Sequence[str], key: str) -> list[str]:
    """Return which rows of a table are ticked, known before the table is drawn.

    Args:
        names: what the address calls each row, in the table's order; a name in the address that no row has is ignored.
        key: the table's own session key.
    """
    wanted = asked(key, lambda text: set(text.split("|")))
    if wanted is not None:
        rows = [row for row, name in enumerate(names) if name in wanted]
        st.session_state[key] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    told: Any = st.session_state.get(key)
    chosen = [names[row] for row in told["selection"]["rows"] if row < len(names)] if told else []
    say(key, "|".join(chosen) or None)
    return chosen


def asked(key: str, parse: Callable[[str], T | None]) -> T | None:
    """Return what the address says where somebody changed it, ``None`` where nobody did or it cannot be read."""
    text = st.query_params.get(key)
    return None if text is None or text == st.session_state.get(key + SEEN) else parse(text)


def say(key: str, text: str | None) -> None:
    """Let the address say what was chosen, or nothing of it."""
    if text is None:
        st.query_params.pop(key, None)
        st.session_state.pop(key + SEEN, None)
        return
    st.session_state[key + SEEN] = text
    if st.query_params.get(key) != text:
        st.query_params[key] = text


def _prepare(key: str, default: T, parse: Callable[[str], T | None], fits: Callable[[T], bool]) -> None:
    """Bring the address into the session before the widget is drawn, where somebody changed it."""
    value = asked(key, parse)
    if value is not None:
        st.session_state[key] = value
    if key not in st.session_state or not fits(st.session_state[key]):
        st.session_state[key] = default


def _remember(key: str, value: T, default: T, write: Callable[[T], str] = str) -> T:
    """Let the address say what was chosen; a default does not stand in it."""
    say(key, None if value == default else write(value))
    return value


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e15 else None
