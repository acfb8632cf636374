"""``make bench``: every benchmark of this folder, one after the other."""

import importlib
import sys
from pathlib import Path


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    found = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    for name in sys.argv[1:] or found:
        sys.stdout.write(f"== {name}\n")
        sys.stdout.flush()
        importlib.import_module(f"tests.benchmarks.{name}").main()


if __name__ == "__main__":
    main()
