"""From a click in the browser to a point on the frontier and a row in the CSV, with the real engine."""

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

ENGINE_MS = 240_000


def queue_variant(page: Page, technique: str) -> None:
    """Choose one technique on the first model and press Run."""
    page.get_by_role("link", name="New run").first.click()
    expect(page.get_by_role("heading", name="What will happen")).to_be_visible()
    page.get_by_text("Every parameter", exact=True).click()
    page.get_by_text(technique, exact=True).click()
    expect(page.get_by_role("listitem").filter(has_text=f"{technique}:")).to_be_visible()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()


def test_a_click_becomes_a_point_and_a_row(whole_product: str, browser_page: Page) -> None:
    browser_page.goto(whole_product)
    expect(browser_page.get_by_text("Nothing has been measured here yet")).to_be_visible()
    queue_variant(browser_page, "Dynamic int8")
    expect(browser_page.get_by_role("heading", name="Running")).to_be_visible()
    browser_page.get_by_role("link", name="Frontier").first.click()
    point = browser_page.locator(".js-plotly-plot .scatterlayer .trace .points path.point")
    expect(point).to_have_count(1, timeout=ENGINE_MS)
    expect(
        browser_page.get_by_text(re.compile("as fast as the baseline|No variant is clearly faster|costs accuracy"))
    ).to_be_visible()
    with browser_page.expect_download() as download:
        browser_page.get_by_role("button", name="All runs: CSV").click()
    table = pd.read_csv(io.BytesIO(Path(download.value.path()).read_bytes()))
    (row,) = table.to_dict("records")
    assert (row["model"], row["techniques"].split("(")[0], row["status"]) == ("fashion-mlp", "int8-dynamic", "done")
    assert row["accuracy"] > 0.8
    assert row["latency_p50_ms_ci95_low"] <= row["latency_p50_ms"] <= row["latency_p50_ms_ci95_high"]
    assert row["on_frontier"]


def test_a_running_run_is_cancelled(whole_product: str, browser_page: Page) -> None:
    browser_page.goto(whole_product)
    queue_variant(browser_page, "Structured pruning")
    expect(browser_page.get_by_role("heading", name="Running")).to_be_visible()
    browser_page.get_by_role("button", name="Cancel").click()
    expect(browser_page.get_by_text("Nothing is running or waiting.")).to_be_visible(timeout=ENGINE_MS)
    browser_page.get_by_role("radio", name="Cancelled").click()
    expect(browser_page.get_by_text("No run has ended this way.")).to_be_hidden()
