"""The short form of the campaign; ``make chaos`` runs the long one."""

from pathlib import Path

import pytest

from tests.chaos.campaign import Campaign


@pytest.mark.e2e
def test_a_dozen_kills_lose_nothing(tmp_path: Path) -> None:
    report = Campaign(tmp_path, seed=7).run(12)
    assert report.kills.total() == 12
    assert report.ends["done"] >= 6
