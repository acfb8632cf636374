"""Lines of a log: which of them somebody asked for."""

import re
from collections.abc import Sequence

LEVELS = {
    "all": "",
    "warnings": r"warn|error|critical|traceback|exception|failed",
    "errors": r"error|critical|traceback|exception|failed",
}
"""What is shown, as a pattern that a line must hold; upper and lower case are the same."""


def filtered(text: str, level: str = "all", words: str = "") -> Sequence[str]:
    """Return the lines of a log that are of a level and hold every word, in their order.

    Args:
        text: the log.
        level: a key of :data:`LEVELS`; an unknown one shows everything.
        words: words between blanks, taken letter by letter.
    """
    pattern = re.compile(LEVELS.get(level, ""), re.IGNORECASE)
    wanted = words.lower().split()
    return [line for line in text.splitlines() if pattern.search(line) and all(word in line.lower() for word in wanted)]
