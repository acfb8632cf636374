"""How words get into the reader's language: whoever shows them passes a function, without one they stay as they are.

Every text is said in one piece with places for values, ``say("click to open run {id}").format(id=7)``, since other
languages order them otherwise; the catalogue collects what stands in a call of ``say``.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from string import Formatter

Say = Callable[[str], str]
"""Returns a text in the reader's language, itself where it was not translated."""


def in_english(text: str) -> str:
    """Return a text as it is."""
    return text


def retold(text: str, templates: Iterable[str], say: Say) -> str:
    """Return a sentence that was stored in English in the reader's language, itself where no template made it.

    Records never change, so that a sentence in one is taken apart by the template it was made from and put together
    again; of several that fit, the one that says most by itself is the right one.

    Args:
        text: the sentence as it was stored.
        templates: what it may have been made from, with places for values: ``"{share} of the time is lost"``.
        say: puts the template into the reader's language.
    """
    for template in sorted(templates, key=lambda template: -len(_pattern(template).pattern)):
        found = _pattern(template).fullmatch(text)
        if found:
            return say(template).format(**found.groupdict())
    return text


@cache
def _pattern(template: str) -> re.Pattern[str]:
    pieces = [
        re.escape(literal) + (f"(?P<{name}>.+?)" if name else "") for literal, name, _, _ in Formatter().parse(template)
    ]
    return re.compile("".join(pieces), re.DOTALL)
