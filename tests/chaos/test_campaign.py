"""The short form of the campaign; ``make chaos`` runs the long one."""

from pathlib import Path

import pytest

from tests.chaos.campaign import Campaign
from tests.chaos.soak import soak


@pytest.mark.e2e
def test_a_dozen_kills_lose_nothing(tmp_path: Path) -> None:
    report = Campaign(tmp_path, seed=7).run(12)
    assert report.kills.total() == 12
    assert report.ends["done"] >= 6


@pytest.mark.e2e
def test_a_short_soak_does_every_run_once_and_leaks_nothing(tmp_path: Path) -> None:
    seen = soak(tmp_path, 40)
    assert seen.done == 40
    assert seen.growth_bytes < 20 * 2**20
    # Pipes of a run that is just under way may be open at either moment.
    assert seen.descriptors <= 12
