import json
from collections.abc import Iterator

import pytest
import streamlit as st  # noqa: TID251 - what the browser told is kept in the session

from dashboard.zoom import Zoom, kept


@pytest.fixture
def told() -> Iterator[None]:
    st.session_state["z_known"] = json.dumps({"view": "a", "x": [0.1, 0.9], "y": None})
    yield
    del st.session_state["z_known"]


@pytest.mark.usefixtures("told")
def test_the_zoom_is_that_of_the_same_view_only() -> None:
    assert kept("z", "a") == Zoom("a", (0.1, 0.9), None)
    assert kept("z", "b") == Zoom("b")


def test_before_the_browser_told_everything_is_visible() -> None:
    assert kept("nothing", "a") == Zoom("a")
