import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

from dashboard.language import ENGLISH, NAMES, preferred
from tests.dashboard.catalogue import messages, read
from tests.dashboard.conftest import OpenPage


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
        for message in messages()
        if (found := translated.get(message)) is None or not found.string or not all(found.string)
    ]
    assert missing == [], "run: python -m tests.dashboard.catalogue, then translate what is new"


def test_nothing_is_kept_that_nobody_says(translated: Catalog) -> None:
    said = set(messages())
    kept = [message.id if isinstance(message.id, str) else tuple(message.id) for message in translated if message.id]
    assert [message for message in kept if message not in said] == []


def test_translations_have_the_same_places_for_values(translated: Catalog) -> None:
    for message in translated:
        if message.id:
            wanted = set(re.findall(r"\{\w+\}", message.id if isinstance(message.id, str) else message.id[1]))
            texts = [message.string] if isinstance(message.string, str) else message.string
            for text in texts:
                assert set(re.findall(r"\{\w+\}", text)) == wanted, message.id


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


def test_a_link_says_the_same_in_every_language(filled_path: Path, open_page: OpenPage) -> None:
    asked = {"frontier_x": "size_bytes", "frontier_keep": "99"}
    rows = [len(open_page(filled_path, "", language=name, **asked).dataframe[0].value) for name in NAMES]
    assert rows == [7, 7]
