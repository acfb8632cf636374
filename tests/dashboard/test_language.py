import pytest

from dashboard.language import preferred


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
