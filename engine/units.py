"""How numbers become text; inside the program everything is in SI units."""

import math

MISSING = "n/a"


def format_seconds(value_s: float | None) -> str:
    """Return a duration with three significant digits and the fitting unit, ``"1.62 ms"`` or ``"2 min 5 s"``."""
    if value_s is None or not math.isfinite(value_s):
        return MISSING
    if value_s >= 60:
        minutes, seconds = divmod(round(value_s), 60)
        return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if value_s * factor >= 1 or unit == "µs":
            return f"{_significant(value_s * factor)} {unit}"
    return MISSING


def format_ms(value_ms: float | None) -> str:
    """Return a latency given in milliseconds, ``"1.62 ms"``."""
    return MISSING if value_ms is None else format_seconds(value_ms / 1e3)


def format_bytes(value_bytes: float | None) -> str:
    """Return a size in decimal units, ``"22.9 MB"``."""
    if value_bytes is None or not math.isfinite(value_bytes):
        return MISSING
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value_bytes >= factor:
            return f"{_significant(value_bytes / factor)} {unit}"
    return f"{value_bytes:.0f} B"


def format_joules(value_j: float | None) -> str:
    """Return an energy with three significant digits and the fitting unit, ``"20.1 mJ"``."""
    if value_j is None or not math.isfinite(value_j):
        return MISSING
    for factor, unit in ((1.0, "J"), (1e3, "mJ")):
        if value_j >= 1 / factor:
            return f"{_significant(value_j * factor)} {unit}"
    return f"{_significant(value_j * 1e6)} µJ"


def format_count(value: float | None) -> str:
    """Return a large count shortened, ``"22.7 M"``."""
    if value is None or not math.isfinite(value):
        return MISSING
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{_significant(value / factor)}{unit}"
    return f"{value:.0f}"


def format_ratio(value: float | None) -> str:
    """Return a speed-up, ``"3.71x"``."""
    return MISSING if value is None or not math.isfinite(value) else f"{_significant(value)}x"


def format_share(value: float | None, digits: int = 1) -> str:
    """Return a share as a percentage, ``"85.8 %"``."""
    return MISSING if value is None or not math.isfinite(value) else f"{value * 100:.{digits}f} %"


def _significant(value: float) -> str:
    """Return three significant digits without an exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"
