"""The viewer's language: gettext catalogues under ``locale``, chosen by the browser, overridden by a switch."""

import gettext as standard
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import streamlit as st
from babel import Locale
from babel.core import UnknownLocaleError, negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from dashboard import address

FOLDER = Path(__file__).parent / "locale"
ENGLISH = "en"
NAMES = {ENGLISH: "English"} | {
    path.name: str(Locale.parse(path.name).get_display_name() or path.name) for path in sorted(FOLDER.iterdir())
}
"""What each language calls itself; a folder with a catalogue makes a language."""
KEY = "language"


def language() -> str:
    """Return the language of this viewer: the one chosen with the switch, else what the browser asks for."""
    asked = st.query_params.get(KEY)
    chosen = st.session_state.get(KEY) if asked == st.session_state.get(KEY + address.SEEN) else asked
    return str(chosen) if chosen in NAMES else preferred(st.context.locale)


def html_language() -> str:
    """Return this viewer's language as HTML names it, ``"zh-CN"``."""
    return language().replace("_", "-")


def preferred(browser: str | None) -> str:
    """Return the best of our languages for a browser's locale, such as ``"zh-Hans-CN"``; English where none fits."""
    try:
        locale = Locale.parse(browser or ENGLISH, sep="-")
    except (ValueError, UnknownLocaleError):
        return ENGLISH
    asked = [str(locale), f"{locale.language}_{locale.territory}", locale.language]
    if locale.language == "zh" and locale.script != "Hant" and locale.territory not in ("TW", "HK", "MO"):
        asked.append("zh_CN")
    return negotiate_locale(asked, list(NAMES)) or ENGLISH


def gettext(text: str) -> str:
    """Return a text in the viewer's language, itself where it was not translated."""
    return _catalogue(language()).gettext(text) if text else text


def wording() -> Callable[[str], str]:
    """Return what :func:`gettext` does for this viewer, to be called thousands of times."""
    return _catalogue(language()).gettext


def ngettext(one: str, many: str, count: int) -> str:
    """Return the form of a text that fits a count, with ``{n}`` replaced by it."""
    return _catalogue(language()).ngettext(one, many, count).replace("{n}", f"{count:,}")


def switch() -> None:
    """Let the viewer choose another language; the address remembers it."""
    address.select(
        "Language / 语言",
        list(NAMES),
        preferred(st.context.locale),
        KEY,
        format_func=lambda name: NAMES[name],
        label_visibility="collapsed",
        width=190,
    )


@cache
def _catalogue(name: str) -> standard.NullTranslations:
    path = FOLDER / name / "LC_MESSAGES" / "subsecond.po"
    if name == ENGLISH or not path.is_file():
        return standard.NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file))
    compiled.seek(0)
    return standard.GNUTranslations(compiled)
