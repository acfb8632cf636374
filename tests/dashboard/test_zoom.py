import json
from collections.abc import Iterator

import pytest
import streamlit as st  # noqa: TID251 - what the browser told is kept in the session

from dashboard.zoom import Zoom, kept

ZOOM = Zoom("a", (0.1, 0.9), (-0.5, 1e-7))


@pytest.fixture(autouse=True)
def address() -> Iterator[None]:
    """A session of its own, with an empty address."""
    yield
    st.query_params.clear()
    for key in list(st.session_state):
        del st.session_state[key]


@pytest.fixture
def told() -> None:
    st.session_state["z_known"] = json.dumps({"view": "a", "x": [0.1, 0.9], "y": None})


@pytest.mark.usefixtures("told")
def test_the_zoom_is_that_of_the_same_view_only() -> None:
    assert kept("z", "a") == Zoom("a", (0.1, 0.9), None)
    assert kept("z", "b") == Zoom("b")


def test_before_the_browser_told_everything_is_visible() -> None:
    assert kept("nothing", "a") == Zoom("a")


@pytest.mark.parametrize("zoom", [ZOOM, Zoom("a", (2.0, 1.0), None), Zoom("a", None, (0.8, 0.9))])
def test_a_link_restores_the_zoom(zoom: Zoom) -> None:
    st.query_params["z_zoom"] = zoom.written or ""
    assert kept("z", "a") == zoom
    assert st.query_params["z_zoom"] == zoom.written
    assert kept("z", "a") == zoom


@pytest.mark.usefixtures("told")
def test_the_address_holds_the_zoom_of_what_is_shown() -> None:
    kept("z", "a")
    assert st.query_params["z_zoom"] == Zoom("a", (0.1, 0.9)).written
    kept("z", "b")
    assert "z_zoom" not in st.query_params


@pytest.mark.parametrize(
    "text",
    [
        *("", "nonsense", "~~~~", "~".join("12345"), Zoom("other", (1.0, 2.0)).written or ""),
        *(str(ZOOM.written).replace("0.9", wrong) for wrong in ("x", "", "nan", "inf", "1e999", "0.1", "0.9~3")),
    ],
)
def test_an_address_that_makes_no_sense_shows_everything(text: str) -> None:
    st.query_params["z_zoom"] = text
    assert kept("z", "a") == Zoom("a")
