"""How words get into the reader's language: whoever shows them passes a function, without one they stay as they are.

Every text is said in one piece with places for values, ``say("click to open run {id}").format(id=7)``, since other
languages order them otherwise; the catalogue collects what stands in a call of ``say``.
"""

from collections.abc import Callable

Say = Callable[[str], str]
"""Returns a text in the reader's language, itself where it was not translated."""


def in_english(text: str) -> str:
    """Return a text as it is."""
    return text
