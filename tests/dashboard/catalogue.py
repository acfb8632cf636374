"""The texts that people see, for translators; ``python -m tests.dashboard.catalogue`` updates the catalogues."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from babel.messages.catalog import Catalog
from babel.messages.extract import extract, extract_from_dir
from babel.messages.pofile import read_po, write_po

from dashboard import choices, columns, components, forms
from dashboard.language import ENGLISH, FOLDER, NAMES
from engine.analysis import explain, instrument, table, tokens
from engine.analysis.answer import ADVICE, WORDS
from engine.analysis.comparability import key_title
from engine.analysis.compare import EVIDENCE, Difference
from engine.analysis.fields import CATEGORIES, OWN_WORDS
from engine.analysis.figures.frontier import STANDING_TEXT
from engine.analysis.listing import STANDING_WORDS
from engine.analysis.presets import BOUND, PRESETS
from engine.analysis.strength import STRENGTHS
from engine.backends import BACKENDS
from engine.cautions import CAUTIONS
from engine.datasets import DATASETS
from engine.datasets.base import SplitName
from engine.metrics import METRICS
from engine.models import FAMILIES, MODELS
from engine.results import Context, Status
from engine.scenarios import SCENARIOS
from engine.spec import Effort
from engine.techniques import TECHNIQUES
from engine.techniques.base import Technique

Message = str | tuple[str, str]
ROOT = Path(__file__).parents[2]
SPOKEN: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("dashboard", {"_": None, "gettext": None, "ngettext": (1, 2)}, "_"),
    ("engine/analysis", {"say": None}, "say"),
)
"""Folders, the functions that take a text there, and the one that also stands in formatted strings."""
IN_A_TEMPLATE = r"""\{{{name}\((['"])(.+?)\1\)"""
"""A text inside a formatted string, which Babel's reader of Python 3.11 does not see."""


def messages() -> list[Message]:
    """Return every text for the translators, those with a plural as pairs."""
    return list(dict.fromkeys([*said(), *filter(None, registered())]))


def said() -> list[Message]:
    """Return what the code itself says; all of it must be translated."""
    found: dict[Message, None] = {}
    for folder, functions, name in SPOKEN:
        for _, _, message, _, _ in extract_from_dir(ROOT / folder, [("**.py", "python")], keywords=functions):
            found[message if isinstance(message, str) else (message[0], message[1])] = None
        template = re.compile(IN_A_TEMPLATE.format(name=name))
        for path in sorted((ROOT / folder).rglob("*.py")):
            found |= dict.fromkeys(match[2] for match in template.finditer(path.read_text("utf-8")))
    return list(found | dict.fromkeys(_named()))


def _named() -> Iterator[str]:
    """Yield texts that the code takes from a list by name."""
    yield from (components.UNPROVEN, *WORDS, *ADVICE)
    yield from (status.value for status in Status)
    yield from (*OWN_WORDS, *STANDING_TEXT.values(), *STANDING_WORDS.values())
    yield from (difference.value for difference in Difference)
    yield from (*columns.FIXED, *columns.TEXTS)
    yield from (*choices.GROUP_TITLES.values(), *choices.TASK_WORDS.values(), forms.AUTOMATIC)
    yield from (*explain.VERDICTS, *explain.REASONS, *EVIDENCE, *table.LAYOUTS, BOUND)
    yield from (text for caution in CAUTIONS for text in (caution.code, caution.words))
    yield from (instrument.UNREADABLE, *instrument.BANDS, *tokens.BADGES)
    yield from (*(effort.value for effort in Effort), *get_args(SplitName))
    yield from (key_title(name) for name in Context.model_fields)
    yield from _stages()
    yield from (category.title for category in CATEGORIES)
    yield from (preset.title for preset in PRESETS)
    for strength in STRENGTHS:
        yield from (strength.title, strength.summary)


def _stages() -> Iterator[str]:
    """Yield what the stages of a run are called, but for those named after a technique."""
    for name in ("pipeline", "preparation"):
        with (ROOT / "engine" / f"{name}.py").open("rb") as file:
            announced = extract("python", file, {"_stage": None, "_frame": None, "_score": None, "_export": None})
            yield from (str(message) for _, message, _, _ in announced)
    yield from (family.first_stage for family in FAMILIES)


def registered() -> Iterator[str]:
    """Yield titles, summaries and parameters of what can be chosen; a new one is added before it is translated."""
    for entry in (*TECHNIQUES, *BACKENDS, *SCENARIOS):
        yield from (entry.title, entry.summary)
        config = entry.config_type if isinstance(entry, Technique) else entry.options_type
        for name, info in config.model_fields.items():
            extra = info.json_schema_extra
            unit = extra.get("unit") if isinstance(extra, dict) else None
            yield from (forms.plain_title(name, info), info.description or "", str(unit or ""))
    yield from (text for entry in (*MODELS, *DATASETS) for text in (entry.title, entry.summary))
    yield from (text for info in METRICS for text in (info.title, info.description))


def path_of(language: str) -> Path:
    """Return the catalogue of a language."""
    return FOLDER / language / "LC_MESSAGES" / "subsecond.po"


def read(language: str) -> Catalog:
    """Return the catalogue of a language, an empty one where there is none."""
    path = path_of(language)
    if not path.is_file():
        return _empty(language)
    with path.open("rb") as file:
        return read_po(file)


def _empty(language: str, **more: Any) -> Catalog:
    about = {"header_comment": "# What the pages of Subsecond say.", "project": "Subsecond", "version": "1"}
    people = {"last_translator": "Subsecond", "language_team": "Subsecond", "msgid_bugs_address": "Subsecond"}
    return Catalog(locale=language, fuzzy=False, **about, **people, **more)


def main() -> None:
    """Add what is new to every catalogue and take out what nobody says any more; translations are kept."""
    for language in NAMES:
        if language == ENGLISH:
            continue
        known = read(language)
        fresh = _empty(language, creation_date=known.creation_date)
        for message in messages():
            earlier = known.get(message)
            fresh.add(message, earlier.string if earlier is not None else None)
        path_of(language).parent.mkdir(parents=True, exist_ok=True)
        with path_of(language).open("wb") as file:
            write_po(file, fresh, width=120, sort_output=True, omit_header=False)


if __name__ == "__main__":
    main()
