"""No page says in English what it could say in the viewer's language."""

import re
from html import unescape
from pathlib import Path
from string import Formatter

import pytest

from dashboard.language import ENGLISH, NAMES
from engine.analysis.answer import answers
from engine.analysis.budget import Budget
from engine.analysis.figures import FrontierStyle
from engine.analysis.frontier import frontier_info
from engine.analysis.report import frontier_report, run_report
from engine.cautions import CAUTIONS
from engine.results import Disturbance, Status, TimingPlan
from engine.store.store import Store
from tests.dashboard.catalogue import read, registered
from tests.dashboard.conftest import OpenPage
from tests.dashboard.samples import FAILURE, INT8, add_done, sample_raw, sample_result, sample_spec
from tests.dashboard.spoken import english, spoken
from tests.fakes import MACHINE, FakeClock, make_insight, make_selfcheck

RICH = "18"
"""A run with everything that a page can tell of one."""
PAGES: tuple[tuple[str, dict[str, str]], ...] = (
    ("", {}),
    ("", {"frontier_known": "8", "frontier_keep": "99.9", "frontier_limit_latency_p50_ms": "1"}),
    ("new_run", {}),
    ("new_run", {"new_mode": "expert", "new_stack": "prune-magnitude+int8-dynamic"}),
    ("runs", {}),
    ("runs", {"runs_studies": "demo", "runs_table": "11|10"}),
    ("run", {}),
    ("run", {"run": RICH}),
    ("run", {"run": "16"}),
    ("run", {"run": "17"}),
    ("compare", {}),
    ("compare", {"runs": "6,11"}),
    ("system", {}),
)
LEFT = {
    FAILURE.message: "why a run failed is stored in English, as the command line and the log say it",
    "3 of 36 operators stay in floating point": "what a technique noted is stored with the run",
    "test": "a value as the record and its CSV have it",
    "tokens": "a value as the record and its CSV have it",
    "off": "a value as the command line takes it",
}
"""What may be English, and why."""


def places(words: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(words) if name]


@pytest.fixture
def told(filled: Store, filled_path: Path) -> Path:
    """A filled database with a run of which everything is known, on a machine that was checked."""
    spec = sample_spec((INT8,), seed=5)
    seen = Disturbance(foreign_share=0.012, steal_share=None, migrations=0.3, clock_drift=0.021, pinned=True)
    plan = TimingPlan(pairs=3, min_iterations=100, min_seconds=1, warmup_seconds=0.5)
    warnings = [caution(**dict.fromkeys(places(caution.words), "7")) for caution in CAUTIONS]
    result = sample_result(spec, timing=plan, disturbance=seen, warnings=warnings, **make_insight())
    assert str(add_done(filled, spec, result, sample_raw())) == RICH
    filled.save_selfcheck(make_selfcheck(MACHINE, FakeClock().now()))
    return filled_path


def translations(language: str) -> dict[str, str]:
    return {message.id: str(message.string) for message in read(language) if isinstance(message.id, str)}


@pytest.mark.parametrize("language", [name for name in NAMES if name != ENGLISH])
@pytest.mark.parametrize(("page", "query"), PAGES)
def test_nothing_on_a_page_was_forgotten(
    told: Path, open_page: OpenPage, language: str, page: str, query: dict[str, str]
) -> None:
    app = open_page(told, page, language=language, **query)
    assert not app.exception
    texts, known = [text.replace("\\", "") for text in spoken(app)], translations(language)
    assert sum(re.search("[一-鿿]", text) is not None for text in texts) > 5
    waiting = {text for text in registered() if not known.get(text)}  # of what was added lately
    assert {text: said for text in texts if text not in LEFT.keys() | waiting and (said := english(text, known))} == {}


@pytest.mark.parametrize("language", [name for name in NAMES if name != ENGLISH])
def test_what_was_forgotten_would_be_found(told: Path, open_page: OpenPage, language: str) -> None:
    known = translations(language)
    found = {said for text in spoken(open_page(told, "run", run=RICH)) if (said := english(text, known))}
    words, heads, cells = {"Speed-up", "Why", "Repeat it"}, {"Operator", "Time a query, ms"}, {"Other programs", "yes"}
    plots, sentences = {"Latency of one query, ms"}, {"The same model on the same backend before its graph was changed"}
    assert words | heads | cells | plots | sentences <= {text.removesuffix(".") for text in found}


@pytest.mark.parametrize("language", [name for name in NAMES if name != ENGLISH])
def test_a_report_speaks_the_language_of_whoever_takes_it(told: Path, filled: Store, language: str) -> None:
    known = translations(language)

    def say(text: str) -> str:
        return known.get(text) or text

    rows = filled.summaries(status=[Status.DONE], context_key=filled.contexts()[0][0].key)
    found = answers(rows, say=say)
    info, style = frontier_info(rows), FrontierStyle(say=say)
    budget = Budget(x=1.0)
    of_all = frontier_report(info, found, filled.contexts()[0][0], style, budget, language="zh-CN")
    of_one = run_report(filled.run(int(RICH)), filled.raw(int(RICH)), say, language="zh-CN")
    for page in (of_all, of_one):
        assert '<html lang="zh-CN">' in page
        body = re.sub(r"<(script|pre)[^>]*>.*?</\1>", "", page.rpartition("</head>")[2], flags=re.DOTALL)
        texts = [unescape(text) for text in re.findall(r">([^<]+)<", body)]
        assert sum(re.search("[一-鿿]", text) is not None for text in texts) > 5
        assert {text: said for text in texts if text not in LEFT and (said := english(text, known))} == {}
