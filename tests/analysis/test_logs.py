import pytest

from engine.analysis.logs import filtered

LOG = "start\nWARNING: a\nTraceback (most recent call last)\nValueError: b\nend"


@pytest.mark.parametrize(
    ("level", "words", "lines"),
    [
        ("all", "", LOG.splitlines()),
        ("warnings", "", ["WARNING: a", "Traceback (most recent call last)", "ValueError: b"]),
        ("errors", "", ["Traceback (most recent call last)", "ValueError: b"]),
        ("all", "VALUE b", ["ValueError: b"]),
        ("nonsense", "start", ["start"]),
        ("all", "(most", ["Traceback (most recent call last)"]),
        ("all", "missing", []),
    ],
)
def test_lines_are_those_asked_for(level: str, words: str, lines: list[str]) -> None:
    assert list(filtered(LOG, level, words)) == lines
