from datetime import UTC, datetime

import pytest

from dashboard.components import clicked_run, plain, progress_sentence, stage_note, when
from engine.results import StageRecord, Status
from tests.dashboard.samples import sample_record


class Event:
    """What a plot returns when it was clicked."""

    def __init__(self, *points: dict[str, object]) -> None:
        self.selection = self
        self.points = list(points)


@pytest.mark.parametrize("text", ["**bold**", "[a](b)", "<b>", ":red[x]", "$x$", "a_b_c", "1. one", "# head", "|"])
def test_plain_text_has_no_markup_left(text: str) -> None:
    shown = plain(text)
    assert shown.replace("\\", "") == text
    assert all(shown[index - 1] == "\\" for index, char in enumerate(shown) if char in "*[]<>:$_#|.")


def test_times_are_shown_in_utc() -> None:
    assert when(datetime(2026, 3, 4, 12, 7, tzinfo=UTC)) == "4 Mar 2026, 12:07 UTC"
    assert when(datetime(2026, 3, 4, 12, 7)) == "4 Mar 2026, 12:07 UTC"
    assert when(None) == "not yet"


def test_a_cached_stage_says_that_it_was_not_repeated() -> None:
    assert stage_note(StageRecord(name="prepare", seconds=402.1, cached=True)) == "from the cache"
    assert stage_note(StageRecord(name="time", seconds=2.0, detail="3 pairs")) == "2.00 s · 3 pairs"


def test_the_clicked_run_is_the_points_own() -> None:
    assert clicked_run(Event({"customdata": 12})) == 12
    assert clicked_run(Event({"customdata": [12]})) == 12
    assert clicked_run(Event({"x": 1})) is None
    assert clicked_run(Event()) is None


def test_progress_names_the_run_under_way_and_counts_the_rest() -> None:
    running = sample_record(3, status=Status.RUNNING, stage="time")
    waiting = sample_record(4, status=Status.QUEUED)
    assert "Run 3" in progress_sentence([waiting, running])
    assert progress_sentence([waiting, running]).endswith("1 waiting")
    assert progress_sentence([waiting, waiting]).endswith("2 waiting")
