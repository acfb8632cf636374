import json
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

from dashboard.language import ENGLISH, NAMES, preferred
from tests.dashboard.catalogue import messages, read, said
from tests.dashboard.conftest import OpenPage, words


@pytest.mark.parametrize(
    ("browser", "ours"),
    [
        ("en-US", "en"),
        ("zh-CN", "zh_CN"),
        ("zh-Hans-CN", "zh_CN"),
        ("zh-Hans", "zh_CN"),
        ("zh", "zh_CN"),
        ("zh-TW", "en"),
        ("zh-Hant-HK", "en"),
        ("de-DE", "en"),
        ("nonsense!", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_the_browser_decides(browser: str | None, ours: str) -> None:
    assert preferred(browser) == ours


@pytest.fixture(params=[name for name in NAMES if name != ENGLISH])
def translated(request: pytest.FixtureRequest) -> Catalog:
    """Each catalogue."""
    return read(request.param)


def test_every_text_is_translated(translated: Catalog) -> None:
    missing = [
        message
        for message in said()
        if (found := translated.get(message)) is None or not found.string or not all(found.string)
    ]
    assert missing == [], "run: python -m tests.dashboard.catalogue, then translate what is new"


def test_nothing_is_kept_that_nobody_says(translated: Catalog) -> None:
    known = set(messages())
    kept = [message.id if isinstance(message.id, str) else tuple(message.id) for message in translated if message.id]
    assert [message for message in kept if message not in known] == []


def test_translations_have_the_same_places_for_values(translated: Catalog) -> None:
    for message in translated:
        if message.id:
            wanted = set(re.findall(r"\{\w+\}", message.id if isinstance(message.id, str) else message.id[1]))
            texts = [message.string] if isinstance(message.string, str) else message.string
            for text in texts:
                assert set(re.findall(r"\{\w+\}", text)) == wanted, message.id


def test_chinese_has_chinese_punctuation() -> None:
    texts = [text for message in read("zh_CN") if message.id for text in _forms(message.string)]
    assert len(texts) > 500
    assert [text for text in texts if re.search(r"[一-鿿][,;:?!(](?! )|[,;:?!)][一-鿿]", text)] == []


def _forms(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


@pytest.mark.parametrize("page", ["", "new_run", "runs", "compare", "system"])
def test_the_address_chooses_the_language_of_every_page(filled_path: Path, open_page: OpenPage, page: str) -> None:
    app = open_page(filled_path, page, language="zh_CN")
    assert not app.exception
    assert re.search("[一-鿿]", app.title[0].value)
    assert app.query_params["language"] == "zh_CN"


def test_the_switch_overrides_the_browser_at_once_and_stays(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, "runs")
    assert app.title[0].value == "Runs"
    app.selectbox(key="language").select("zh_CN").run()
    assert app.title[0].value == "运行列表"
    app.switch_page("app_pages/system.py").run()
    assert app.title[0].value == "系统"


ENGLISH_WORDS = re.compile(
    "better|worse|tied|baseline|frontier|beaten|points|accuracy|latency|query|click|covered", re.I
)


def test_the_plot_its_table_and_its_verdicts_speak_the_viewers_language(filled_path: Path, open_page: OpenPage) -> None:
    bounds = {"frontier_limit_latency_p50_ms": "5", "frontier_drop_accuracy": "0.4", "frontier_known": "8"}
    app = open_page(filled_path, language="zh_CN", **bounds)
    assert not app.exception
    frontier, growth = (json.loads(chart.proto.spec) for chart in app.get("plotly_chart"))
    hovers = [text for trace in frontier["data"] for text in trace.get("hovertext", ())]
    names = [trace["name"] for trace in frontier["data"] if trace.get("showlegend", True)]
    titles = [figure["layout"][axis]["title"]["text"] for figure in (frontier, growth) for axis in ("xaxis", "yaxis")]
    table = app.dataframe[0].value
    cells = [str(cell) for name in ("Frontier", "Variant", "Against baseline") for cell in table[name]]
    said = [hovers, names, titles, cells, [growth["data"][0]["hovertemplate"]], [words(app)]]
    assert all(said)
    assert [text for part in said for text in part if ENGLISH_WORDS.search(text)] == []
    assert all(re.search(r"点击打开运行 \d+", text) for text in hovers)
    assert titles[0].startswith("延迟 p50, ms")
    assert "prune-structured + int8-dynamic · onnxruntime：2.40 ms，准确率 85.5 %" in words(app)  # noqa: RUF001 - Chinese punctuation is meant


@pytest.mark.parametrize(("page", "query"), [("run", {"run": "11"}), ("compare", {"runs": "6,11"})])
def test_the_plots_of_runs_speak_the_viewers_language(
    filled_path: Path, open_page: OpenPage, page: str, query: dict[str, str]
) -> None:
    app = open_page(filled_path, page, language="zh_CN", **query)
    assert not app.exception
    figures = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    axes = [axis for figure in figures for name, axis in figure["layout"].items() if "axis" in name]
    titles = [axis["title"]["text"] for axis in axes if "title" in axis]
    said = [
        trace[name]
        for figure in figures
        for trace in figure["data"]
        for name in ("name", "hovertemplate")
        if name in trace
    ]
    assert titles
    assert said
    assert [text for text in (*titles, *said) if not re.search("[一-鿿]", text)] == []


def test_a_miss_is_said_in_the_viewers_language(filled_path: Path, open_page: OpenPage) -> None:
    app = open_page(filled_path, language="zh_CN", frontier_limit_latency_p50_ms="1", frontier_drop_accuracy="0.1")
    assert "onnxruntime：延迟 p50 3.20 ms，高了 2.20 ms，并且准确率 85.5 %，低了 0.2 个百分点" in words(app)  # noqa: RUF001 - Chinese punctuation is meant
    assert not ENGLISH_WORDS.search(words(app))


def test_a_link_says_the_same_in_every_language(filled_path: Path, open_page: OpenPage) -> None:
    asked = {"frontier_x": "size_bytes", "frontier_keep": "99"}
    rows = [len(open_page(filled_path, "", language=name, **asked).dataframe[0].value) for name in NAMES]
    assert rows == [7, 7]
