"""``python -m dashboard``: the page as a child of the engine; it ends when its standard input closes."""

import gc
import importlib
import os
import sys
import threading
from pathlib import Path

from streamlit.web import cli

NICENESS = 10
"""While the engine times, each core gives the page at most a tenth; an idle core gives it all."""
_DRAWN_WITH = ("dashboard.frontier_view", "dashboard.new_run_form", "dashboard.run_list", "dashboard.system_view")


def main() -> None:
    """Serve the page with the options of ``streamlit run`` that were given."""
    os.nice(NICENESS)
    _settle()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = ["streamlit", "run", str(Path(__file__).with_name("app.py")), *sys.argv[1:]]
    cli.main()


def _settle() -> None:
    """Load what pages draw with, and take it out of the garbage collector's rounds.

    Streamlit collects all garbage after every rerun; going through all that was imported took nine tenths of a poll.
    """
    for name in _DRAWN_WITH:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
