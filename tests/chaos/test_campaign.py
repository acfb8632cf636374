"""The short forms of campaign, soak and crowd; ``make chaos`` runs the long ones."""

from pathlib import Path

import pytest

from tests.chaos.campaign import Campaign
from tests.chaos.crowd import crowd
from tests.chaos.soak import soak


@pytest.mark.e2e
def test_a_dozen_kills_lose_nothing(tmp_path: Path) -> None:
    report = Campaign(tmp_path, seed=7).run(12)
    assert report.kills.total() == 12
    assert report.in_stage.total() == 12
    assert report.ends["done"] >= 6


@pytest.mark.e2e
def test_a_short_soak_does_every_run_once_and_leaks_nothing(tmp_path: Path) -> None:
    seen = soak(tmp_path, 40)
    assert seen.done == 40
    assert seen.growth_bytes < 20 * 2**20
    # Pipes of a run that is just under way may be open at either moment.
    assert seen.descriptors <= 12


@pytest.mark.e2e
def test_a_crowd_on_one_database_meets_no_error_and_no_half_row(tmp_path: Path) -> None:
    seen = crowd(tmp_path, 12, processes=2, tabs=5)
    assert seen.done == 14
    assert seen.exports >= 5
    assert seen.looks >= 3
