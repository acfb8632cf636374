"""``python -m tests.chaos [KILLS] [SEED] [--markdown FILE]`` : the whole campaign, with a page that looks on."""

import argparse
import tempfile
from pathlib import Path

from tests.chaos import tables
from tests.chaos.campaign import Campaign

KILLS, SEED = 300, 1


def main() -> None:
    """Run the campaign and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", nargs="?", type=int, default=KILLS)
    parser.add_argument("seed", nargs="?", type=int, default=SEED)
    parser.add_argument("--markdown", type=Path, help="file to write the tables to as well")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Campaign(Path(folder), told.seed, with_page=True).run(told.kills)
    tables.show(tables.of_campaign(report), told.markdown)


if __name__ == "__main__":
    main()
