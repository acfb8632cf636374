"""Everything that a page says, and which of it is English where it should not be."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest  # noqa: TID251 - the pages are Streamlit's, so is their test driver

NOT_SPOKEN = frozenset(
    {
        *("id", "key", "icon", "element_id", "form_id", "url", "page_script_hash", "language", "query_string"),
        *("spec", "config", "columns", "code_text", "theme", "data", "raw_values", "default", "value", "format"),
    }
)
"""Fields of an element that nobody reads as they are, or that a person or a program wrote."""
QUOTED = re.compile(r"`[^`]*`|:material/\w+:|:\w+(?=\[)|%\{[^}]*\}|<extra>")
ENGLISH = re.compile(r"(?:\b[A-Za-z]+(?:['’-][a-z]+)*\b[,;:]? ){3,}\b[a-z]+")  # noqa: RUF001 - an apostrophe is meant
"""Four or more words in a row."""


def spoken(screen: AppTest) -> Iterator[str]:
    """Yield every text that a page draws: words, labels, helps, heads and cells of tables, texts in plots."""
    for node in screen.main:
        if node.type in ("html", "bidi_component"):
            continue
        for name, text in _strings(node.proto):
            yield from _of_plot(text) if name == "spec" else _of_columns(text) if name == "columns" else [text]
        if node.type in ("arrow_data_frame", "arrow_table", "dataframe", "table"):
            yield from _of_table(node)


def english(text: str, translations: Mapping[str, str]) -> str | None:
    """Return what stands in a text as English words, ``None`` where there is nothing of it.

    Args:
        text: one text of a page in another language.
        translations: of the texts of the program; one of them that is drawn as it is was forgotten.
    """
    said = QUOTED.sub("", text).replace("\\", "").strip(" *.·")
    if said in translations and translations[said] != said:
        return said
    found = ENGLISH.search(said)
    return found[0] if found else None


def _strings(message: Message) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields() if isinstance(message, Message) else ():
        if field.name in NOT_SPOKEN - {"spec", "columns"}:
            continue
        for one in value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]:
            if isinstance(one, str):
                yield field.name, one
            elif isinstance(one, Message):
                yield from _strings(one)


def _of_plot(text: str) -> Iterator[str]:
    """Yield the texts of a plot: titles, names, what stands under the pointer."""
    yield from _leaves(json.loads(text), {"text", "hovertext", "hovertemplate", "name", "title"})


def _of_columns(text: str) -> Iterator[str]:
    yield from _leaves(json.loads(text), {"label", "help"})


def _leaves(tree: Any, names: set[str], name: str = "") -> Iterator[str]:
    if isinstance(tree, str) and name in names:
        yield tree
    elif isinstance(tree, list):
        for one in tree:
            yield from _leaves(one, names, name)
    elif isinstance(tree, dict):
        for below, one in tree.items():
            yield from _leaves(one, names, below)


def _of_table(node: Any) -> Iterator[str]:
    frame = node.value
    named = json.loads(getattr(node.proto, "columns", "") or "{}")
    heads = [str(head) for head in frame.columns if "label" not in named.get(str(head), {})]
    yield from heads if not getattr(node.proto, "hide_header", False) else []
    for column in frame.reset_index(drop=frame.index.name is None):
        yield from (cell for cell in frame.reset_index()[column] if isinstance(cell, str))
