"""What axe-core (WCAG 2 and best practices) finds on every page."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

GRAVE = ("serious", "critical")
PAGES = {
    "": "What speed can I buy, and what accuracy does it cost?",
    "?frontier_known=5&frontier_table=11|7&frontier_limit_latency_p50_ms=1": "What speed can I buy, and",
    "new": "New run",
    "new?new_mode=expert": "New run",
    "runs": "Runs",
    "run?run=11": "minilm-l6",
    "compare?runs=6,11": "Compare",
    "system": "System",
    "system?language=zh_CN": "系统",
}


def grave(page: Page) -> list[str]:
    """Return what axe finds serious or critical, one line an element."""
    return [
        f"{rule['id']}: {element['html']} ({element['failureSummary']})"
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in GRAVE
        for element in rule["nodes"]
    ]


def show(page: Page, address: str, heading: str) -> None:
    """Open a page and wait until it is drawn."""
    page.goto(address)
    expect(page.get_by_role("heading", name=heading).first).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_shuts_anybody_out(live_page: str, chromium: Browser, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    found = {}
    for path, heading in PAGES.items():
        show(page, f"{live_page}/{path}", heading)
        found[path] = grave(page)
    assert found == {path: [] for path in PAGES}
    context.close()


def test_a_grave_fault_would_be_seen(browser_page: Page) -> None:
    browser_page.set_content("<html lang='en'><title>x</title><main><h1>x</h1><button></button><img src=''></main>")
    assert {line.split(":")[0] for line in grave(browser_page)} == {"button-name", "image-alt"}
