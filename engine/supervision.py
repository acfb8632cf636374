"""What keeps a part of the program alive: it is started again when it dies, later and later while it keeps dying."""

import logging
from collections import Counter
from collections.abc import Callable

_log = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
FORGOTTEN_AFTER_S = 60.0
"""A part that lived for so long was well: its next death is waited for as if it were the first."""

Restarts = Counter[str]
"""How often each part was started again."""


class Supervisor:
    """Starts one part again whenever it ends by itself.

    Args:
        part: what messages and counts call it.
        clock: seconds that only grow.
        wait: sleeps that many seconds; tells whether somebody asked for the end meanwhile.
        restarts: where starts after the first are counted.
    """

    def __init__(
        self, part: str, clock: Callable[[], float], wait: Callable[[float], bool], restarts: Restarts
    ) -> None:
        self._part, self._clock, self._wait, self._restarts = part, clock, wait, restarts
        restarts[part] += 0  # a part that never died is counted too

    def keep(self, live: Callable[[], str | None]) -> None:
        """Call ``live`` until it ends as asked, or until somebody asks for the end between two lives.

        Args:
            live: one life of the part: returns ``None`` if it ended as asked, else what happened to it.
        """
        wait_s = FIRST_WAIT_S
        while True:
            began = self._clock()
            happened = live()
            if happened is None:
                return
            if self._clock() - began >= FORGOTTEN_AFTER_S:
                wait_s = FIRST_WAIT_S
            _log.warning("The %s ended: %s. It is started again in %g s.", self._part, happened, wait_s)
            if self._wait(wait_s):
                return
            self._restarts[self._part] += 1
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def survive(live: Callable[[], None], is_fatal: Callable[[Exception], bool]) -> str | None:
    """Call ``live``; return ``None`` when it ends, else what broke it, with the trace in the log.

    What goes wrong unexpectedly in a loop that runs for weeks is a defect, or a machine in trouble; neither may end it.

    Args:
        live: what is called.
        is_fatal: tells the errors that go through.
    """
    try:
        live()
    except Exception as error:
        if is_fatal(error):
            raise
        _log.exception("unexpected error")
        return f"{type(error).__name__}: {error}"
    return None
