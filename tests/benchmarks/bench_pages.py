"""How long the pages take in a real browser with many runs: ``python -m tests.benchmarks.bench_pages``."""

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from dashboard.state import DATABASE_VARIABLE
from tests.benchmarks.many_runs import fill
from tests.dashboard.conftest import CHROMIUM_ARGUMENTS, Server

GOALS = {1_000: (2.0, 0.5), 10_000: (3.0, 1.0)}
"""Seconds until the start page can be used, and until a change of filter or axis is answered, by number of runs."""
ROUNDS = 5
LOOKS_S = 1.0
AXES = ("Size on disk", "Latency p90", "Latency p95", "Latency mean", "Throughput")
PLOT = ".st-key-frontier_plot .js-plotly-plot"
POINT = f"{PLOT} .scatterlayer .trace .points path.point"


def timed(action: Callable[[], object]) -> float:
    """Return how long something takes in seconds."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def open_start(page: Page, address: str) -> None:
    """Open the start page and wait until its plot and its first box are there."""
    page.goto(address)
    expect(page.locator(POINT).first).to_be_visible()
    expect(page.get_by_label("Latency p50 at most, ms")).to_be_enabled()


def set_budget(page: Page, text: str) -> None:
    """Type a budget and wait until its line is drawn."""
    box = page.get_by_label("Latency p50 at most, ms")
    box.fill(text)
    box.press("Enter")
    expect(page.get_by_text("Best within your budget").first).to_be_visible()
    page.wait_for_function(
        "([plot, x]) => document.querySelector(plot)?._fullLayout?.shapes?.some(one => Math.abs(one.x0 - x) < 1e-6)",
        arg=[PLOT, float(text)],
    )


def new_budget(page: Page, text: str) -> float:
    """Return how long a new budget takes for somebody who has looked at the answer to the last one."""
    page.wait_for_timeout(1000 * LOOKS_S)
    return timed(lambda: set_budget(page, text))


def new_axis(page: Page, title: str) -> float:
    """Return how long the plot takes to show another metric on its first axis, from the click that chooses it."""
    page.wait_for_timeout(1000 * LOOKS_S)
    page.get_by_role("combobox", name="X", exact=True).fill(title)
    option = page.get_by_role("option", name=title, exact=True)
    expect(option).to_be_visible()

    def choose() -> None:
        option.click()
        page.wait_for_function(
            "([axis, title]) => document.querySelector(axis)?.textContent.startsWith(title)",
            arg=[f"{PLOT} .xtitle", title],
        )

    return timed(choose)


def measure(count: int) -> tuple[float, float, float, float]:
    """Return seconds of the first visit, and the medians of further ones, of a new budget and of another axis."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "many.db"
        fill(path, count)
        server = Server(
            ["dashboard", "--server.headless=true", "--server.port"], "URL:", {DATABASE_VARIABLE: str(path)}
        )
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            first = timed(lambda: open_start(page, server.address))
            further = [timed(lambda: open_start(page, server.address)) for _ in range(ROUNDS)]
            budgets = [new_budget(page, text) for text in ("5", "6", "7", "8", "9")]
            page.get_by_text("Axes, colours, sizes").click()
            axes = [new_axis(page, title) for title in AXES]
        finally:
            browser.close()
            server.stop()
    return first, *(statistics.median(seconds) for seconds in (further, budgets, axes))


def main() -> None:
    """Say how long both take for each number of runs, beside the goals."""
    expect.set_options(timeout=60_000)
    for count, (goal_open, goal_change) in GOALS.items():
        first, further, budget, axis = measure(count)
        sys.stdout.write(
            f"{count:,} runs: usable after {further:.2f} s (goal {goal_open:.0f} s; the very first visit "
            f"{first:.2f} s), a new budget is drawn after {budget:.2f} s, another axis after {axis:.2f} s (goal "
            f"{goal_change:g} s)\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
