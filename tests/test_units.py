"""How numbers become text."""

import math

import pytest

from engine import units

MISSING = [None, math.nan, math.inf]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 µs"),
        (0.00000162, "1.62 µs"),
        (0.00162, "1.62 ms"),
        (0.0999, "99.9 ms"),
        (1.0, "1.00 s"),
        (59.9, "59.9 s"),
        (60.0, "1 min 0 s"),
        (125.4, "2 min 5 s"),
        (3599.7, "1 h 0 min"),
        (3660.0, "1 h 1 min"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert units.format_seconds(value) == text


def test_milliseconds() -> None:
    assert units.format_ms(1.62) == "1.62 ms"
    assert units.format_ms(0.5) == "500 µs"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0 µJ"), (3.2e-5, "32.0 µJ"), (0.0201, "20.1 mJ"), (1.0, "1.00 J"), (250.0, "250 J")]
)
def test_joules(value: float, text: str) -> None:
    assert units.format_joules(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (22_900_000, "22.9 MB"), (1.5e9, "1.50 GB"), (2e12, "2000 GB")],
)
def test_bytes(value: float, text: str) -> None:
    assert units.format_bytes(value) == text


@pytest.mark.parametrize(("value", "text"), [(7, "7"), (1234, "1.23 k"), (22_700_000, "22.7 M"), (3e9, "3.00 G")])
def test_counts(value: float, text: str) -> None:
    assert units.format_count(value) == text


@pytest.mark.parametrize(("value", "text"), [(3.714, "3.71x"), (0.5, "0.500x"), (123.4, "123x"), (0, "0x")])
def test_ratios(value: float, text: str) -> None:
    assert units.format_ratio(value) == text


def test_shares() -> None:
    assert units.format_share(0.8584) == "85.8 %"
    assert units.format_share(-0.015, digits=2) == "-1.50 %"


@pytest.mark.parametrize("value", MISSING)
def test_what_is_no_number_is_missing(value: float | None) -> None:
    for form in (
        units.format_seconds,
        units.format_ms,
        units.format_bytes,
        units.format_count,
        units.format_ratio,
        units.format_share,
    ):
        assert form(value) == units.MISSING
