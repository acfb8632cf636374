"""What a person sees and does, in real Chromium, on a made-up sweep."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect

from engine.results import Status
from engine.store.store import Store
from tests.dashboard.samples import INT8, SERVICE, add_done, sample_result, sample_spec

pytestmark = pytest.mark.browser

PLOT = ".st-key-frontier_plot .js-plotly-plot"
TITLE = "What speed can I buy, and what accuracy does it cost?"
SHOWS_TICKS = """([selector, wanted]) => {
  const shown = [...document.querySelectorAll(selector)].map((tick) => tick.textContent).sort();
  return JSON.stringify(shown) === JSON.stringify(wanted);
}"""
"""Whether the ticks of an axis are those, in any order; a plot that is drawn anew has others for a moment."""


def points(page: Page) -> int:
    """Return how many points the plot shows, without those that explain the legend."""
    expect(page.locator(f"{PLOT} .scatterlayer .trace").first).to_be_visible()
    return page.locator(f"{PLOT} .scatterlayer .trace .points path.point").count()


def click_point(page: Page) -> None:
    """Click a point of the plot as a hand would."""
    point = page.locator(f"{PLOT} .scatterlayer .trace .points path.point").last
    expect(point).to_be_visible()
    box = point.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".js-plotly-plot .hoverlayer .hovertext")).to_be_visible()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_the_start_page_answers_and_a_click_opens_the_run(live_page: str, browser_page: Page) -> None:
    browser_page.goto(live_page)
    expect(browser_page.get_by_role("heading", name=TITLE)).to_be_visible()
    expect(browser_page.get_by_text("6.38x as fast as the baseline, accuracy tied")).to_be_visible()
    assert points(browser_page) == 10
    click_point(browser_page)
    expect(browser_page).to_have_url(re.compile(r"/run\?run=\d+"))
    expect(browser_page.get_by_role("heading", name=re.compile("minilm-l6"))).to_be_visible()
    browser_page.get_by_role("link", name="Frontier").first.click()
    expect(browser_page.get_by_role("heading", name=TITLE)).to_be_visible()


def test_a_link_carries_how_much_accuracy_must_be_kept(live_page: str, browser_page: Page) -> None:
    browser_page.goto(live_page)
    assert points(browser_page) == 10
    browser_page.get_by_text("≥ 99 % of baseline").click()
    expect(browser_page.get_by_text("3 runs are left out: below 99 % of the baseline's accuracy.")).to_be_visible()
    expect(browser_page).to_have_url(re.compile("frontier_keep="))
    browser_page.goto(browser_page.url)
    expect(browser_page.get_by_text("3 runs are left out")).to_be_visible()
    assert points(browser_page) == 7


def test_the_downloaded_csv_is_the_whole_record(live_page: str, browser_page: Page) -> None:
    browser_page.goto(live_page)
    with browser_page.expect_download() as download:
        browser_page.get_by_role("button", name="All runs: CSV").click()
    table = pd.read_csv(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert len(table) == 17
    assert table["on_frontier"].dtype == bool
    assert table["latency_p50_ms"].dtype == "float64"


def test_a_run_is_chosen_queued_and_cancelled(
    serve_page: Callable[[Path], str], filled: Store, filled_path: Path, browser_page: Page
) -> None:
    address = serve_page(filled_path)
    browser_page.goto(f"{address}/new?new_mode=expert")
    expect(browser_page.get_by_role("heading", name="What will happen")).to_be_visible()
    browser_page.get_by_text("Dynamic int8", exact=True).click()
    expect(browser_page.get_by_text("Per channel", exact=True)).to_be_visible()
    expect(browser_page.locator("code").filter(has_text="-t int8-dynamic")).to_be_visible()
    browser_page.get_by_role("button", name="Run", exact=True).click()
    expect(browser_page.get_by_role("heading", name="Waiting, 1")).to_be_visible()
    run_id = filled.runs(limit=1)[0].id
    browser_page.get_by_role("button", name="Cancel").click()
    expect(browser_page.get_by_role("heading", name="Waiting, 1")).to_be_hidden()
    assert filled.run(run_id).status is Status.CANCELLED


def test_a_new_result_appears_by_itself_and_the_zoom_stays(
    serve_page: Callable[[Path], str], filled: Store, filled_path: Path, browser_page: Page
) -> None:
    browser_page.goto(serve_page(filled_path))
    assert points(browser_page) == 10
    zoomed = zoom_in(browser_page)
    spec = sample_spec((INT8,), seed=8)
    add_done(filled, spec, sample_result(spec, 4.4, 0.856))
    rows = browser_page.locator(f"{PLOT} .scatterlayer .trace .points path.point")
    expect(rows).to_have_count(11)
    browser_page.wait_for_function(SHOWS_TICKS, arg=[f"{PLOT} .xtick text", zoomed])


def test_runs_are_followed_live(
    serve_page: Callable[[Path], str], filled: Store, filled_path: Path, browser_page: Page
) -> None:
    (run_id,) = filled.enqueue([sample_spec((INT8,), seed=8)])
    browser_page.goto(f"{serve_page(filled_path)}/runs")
    expect(browser_page.get_by_role("heading", name="Waiting, 1")).to_be_visible()
    filled.claim(SERVICE)
    expect(browser_page.get_by_role("heading", name="Running")).to_be_visible()
    filled.finish(run_id, SERVICE, sample_result(sample_spec((INT8,), seed=8)), None)
    expect(browser_page.get_by_text("Nothing is running or waiting.")).to_be_visible()


def zoom_in(page: Page) -> list[str]:
    """Draw a box over a part of the plot, and return the ticks that are left."""
    ticks = page.locator(f"{PLOT} .xtick text")
    expect(ticks.filter(has_text=re.compile("^20$"))).to_have_count(1)  # the axis has found its range
    plot = page.locator(f"{PLOT} .nsewdrag").first.bounding_box()
    assert plot is not None
    page.mouse.move(plot["x"] + 20, plot["y"] + 20)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] - 200, plot["y"] + plot["height"] - 20, steps=5)
    page.mouse.up()
    expect(ticks.filter(has_text=re.compile("^20$"))).to_have_count(0)
    page.wait_for_function("() => document.documentElement.dataset.zoomTold?.includes('[')")  # it has settled
    return sorted(ticks.all_text_contents())


def test_the_zoom_survives_a_budget_and_a_tick(live_page: str, browser_page: Page) -> None:
    browser_page.goto(live_page)
    assert points(browser_page) == 10
    zoomed = zoom_in(browser_page)
    box = browser_page.get_by_label("Latency p50 at most, ms")
    box.fill("5")
    box.press("Enter")
    expect(browser_page.get_by_text("Best within your budget")).to_be_visible()
    expect(browser_page.locator(f"{PLOT} .shapelayer path").first).to_be_attached()
    browser_page.wait_for_function(SHOWS_TICKS, arg=[f"{PLOT} .xtick text", zoomed])


def test_a_link_restores_the_zoom_and_the_ticked_rows(live_page: str, chromium: Browser, browser_page: Page) -> None:
    browser_page.goto(f"{live_page}/?frontier_table=11|7")
    assert points(browser_page) == 12, "ten points and two rings"
    zoomed = zoom_in(browser_page)
    expect(browser_page).to_have_url(re.compile("frontier_watch_zoom="))
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(browser_page.url)
    expect(page.get_by_role("link", name=re.compile("Compare")).last).to_be_visible()
    page.wait_for_function(SHOWS_TICKS, arg=[f"{PLOT} .xtick text", zoomed])
    expect(page).to_have_url(browser_page.url)
    page.locator(f"{PLOT} .nsewdrag").first.dblclick()
    expect(page).not_to_have_url(re.compile("frontier_watch_zoom="))
    expect(page).to_have_url(re.compile("frontier_table="))
    context.close()


def test_a_box_around_points_shows_their_rows(live_page: str, browser_page: Page) -> None:
    browser_page.goto(live_page)
    assert points(browser_page) == 10
    browser_page.locator(PLOT).hover()
    browser_page.locator(f"{PLOT} .modebar-btn[data-title='Box Select']").click()
    plot = browser_page.locator(f"{PLOT} .nsewdrag").first.bounding_box()
    assert plot is not None
    browser_page.mouse.move(plot["x"] + 5, plot["y"] + 5)
    browser_page.mouse.down()
    browser_page.mouse.move(plot["x"] + plot["width"] / 2, plot["y"] + plot["height"] - 5, steps=5)
    browser_page.mouse.up()
    expect(browser_page.get_by_text(re.compile(r"^[2-9] runs in the box\.$"))).to_be_visible()
    expect(browser_page.locator(f"{PLOT} .selectionlayer path").first).to_be_attached()


def test_the_report_opens_without_network(
    live_page: str, chromium: Browser, browser_page: Page, tmp_path: Path
) -> None:
    browser_page.goto(live_page)
    with browser_page.expect_download() as download:
        browser_page.get_by_role("button", name="Report").click()
    path = tmp_path / "report.html"
    download.value.save_as(path)
    context = chromium.new_context(offline=True)
    page, problems = context.new_page(), list[str]()
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    expect(page.locator(".js-plotly-plot .scatterlayer .trace .points path.point").first).to_be_visible()
    expect(page.get_by_text("6.38x as fast as the baseline, accuracy tied")).to_be_visible()
    assert problems == []
    context.close()


def test_the_browsers_language_decides_and_the_switch_overrides(live_page: str, chromium: Browser) -> None:
    context = chromium.new_context(locale="zh-CN", viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(live_page)
    expect(page.get_by_role("heading", name="能换来多快的速度")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto(f"{live_page}/runs?language=en")
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["desk", "phone"])
def test_every_page_fits_the_screen_in_both_themes(
    live_page: str, chromium: Browser, scheme: str, size: tuple[int, int]
) -> None:
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page = context.new_page()
    pages = {
        "": TITLE,
        "new": "New run",
        "runs": "Runs",
        "run?run=11": "minilm-l6",
        "system": "System",
        "compare?runs=6,11": "Compare",
    }
    for path, heading in pages.items():
        page.goto(f"{live_page}/{path}")
        expect(page.get_by_role("heading", name=heading).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.get_by_text("This app has encountered an error").count() == 0
    context.close()
