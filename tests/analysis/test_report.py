import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from engine.analysis.answer import answers
from engine.analysis.budget import Budget
from engine.analysis.figures import FrontierStyle
from engine.analysis.frontier import frontier_info
from engine.analysis.report import frontier_report, run_report
from engine.results import RawData, Status
from tests.analysis.rows import text_rows
from tests.dashboard.samples import sample_context, sample_raw, sample_record


class Outside(HTMLParser):
    """Collects what a page would fetch from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"script": "src", "img": "src", "link": "href", "iframe": "src"}
        self.found += [f"{tag} {value}" for name, value in attrs if name == names.get(tag) and value]


def fetched(page: str) -> list[str]:
    parser = Outside()
    parser.feed(re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL))
    return parser.found + re.findall(r"<script[^>]*src=[^>]*>", page)


@pytest.fixture(scope="module")
def of_the_frontier() -> str:
    rows = text_rows()
    rows[1] = replace(rows[1], techniques="<script>alert(1)</script>")
    return frontier_report(frontier_info(rows), answers(rows), sample_context(), FrontierStyle(), Budget(x=5.0))


def test_the_frontier_is_one_page_that_fetches_nothing(of_the_frontier: str) -> None:
    assert of_the_frontier.startswith("<!doctype html>")
    assert fetched(of_the_frontier) == []
    assert "default-src 'none'" in of_the_frontier


def test_it_holds_plot_answer_budget_and_table(of_the_frontier: str) -> None:
    assert "Plotly.newPlot" in of_the_frontier
    assert "6.38x as fast as the baseline, accuracy tied" in of_the_frontier
    assert "Within the budget:</b> prune-structured · onnxruntime: 4.10 ms" in of_the_frontier
    assert "<th>Latency p50, ms</th>" in of_the_frontier


def test_names_are_text(of_the_frontier: str) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in of_the_frontier
    assert "<td><script>" not in of_the_frontier


def test_a_run_is_one_page_too() -> None:
    page = run_report(sample_record(), sample_raw())
    assert fetched(page) == []
    for part in ("3.83x", "n/a (needs 662)", "22 samples changed sides", "subsecond run minilm-l6", "Sample CPU"):
        assert part in page
    assert page.count("Plotly.newPlot") == 3


def test_a_run_without_samples_or_result_is_a_page_as_well() -> None:
    assert "Plotly.newPlot(" not in run_report(sample_record(), RawData(arrays={})).rpartition("</script></head>")[2]
    assert "subsecond run" in run_report(sample_record(status=Status.FAILED), RawData(arrays={}))
