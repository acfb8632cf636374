"""The engine: prepares, times and scores variants; knows nothing of the page."""

__version__ = "0.1.0"
