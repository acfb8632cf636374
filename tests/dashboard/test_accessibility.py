"""What axe-core (WCAG 2 and best practices) finds on every page."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from engine.store.store import Store
from tests.dashboard.samples import INT8, add_done, sample_raw, sample_result, sample_spec
from tests.fakes import make_insight

pytestmark = pytest.mark.browser

PAGES = {
    "": "What speed can I buy, and what accuracy does it cost?",
    "?frontier_known=5&frontier_table=11|7&frontier_limit_latency_p50_ms=1": "What speed can I buy, and",
    "new": "New run",
    "new?new_mode=expert": "New run",
    "runs": "Runs",
    "run?run=11": "minilm-l6",
    "run?run=16": "minilm-l6",
    "run?run=18": "minilm-l6",
    "compare?runs=6,11": "Compare",
    "system": "System",
    "system?language=zh_CN": "系统",
}


def faults(page: Page) -> list[str]:
    """Return what axe finds, from minor to critical, one line an element."""
    return [
        f"{rule['id']} ({rule['impact']}): {element['html']} ({element['failureSummary']})"
        for rule in Axe().run(page).response["violations"]
        for element in rule["nodes"]
    ]


def show(page: Page, address: str, heading: str) -> None:
    """Open a page and wait until it is drawn."""
    page.goto(address)
    expect(page.get_by_role("heading", name=heading).first).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_shuts_anybody_out(
    serve_page: Callable[[Path], str], filled: Store, filled_path: Path, chromium: Browser, scheme: str
) -> None:
    spec = sample_spec((INT8,), seed=5)
    add_done(filled, spec, sample_result(spec, **make_insight()), sample_raw())
    live_page = serve_page(filled_path)
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    found = {}
    for path, heading in PAGES.items():
        show(page, f"{live_page}/{path}", heading)
        found[path] = faults(page)
    assert found == {path: [] for path in PAGES}
    context.close()


def test_a_fault_would_be_seen(browser_page: Page) -> None:
    browser_page.set_content(
        "<html lang='en'><title>x</title><main><h1>x</h1><h3>x</h3><button></button><img src=''></main>"
    )
    assert {line.split(" ")[0] for line in faults(browser_page)} == {"button-name", "heading-order", "image-alt"}
