"""``python -m engine`` is the ``subsecond`` command."""

from engine.cli import main

if __name__ == "__main__":
    main()
