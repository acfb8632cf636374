"""``python -m tests.chaos [KILLS] [SEED]`` (``make chaos``): the whole campaign, with a page that looks on."""

import sys
import tempfile
from pathlib import Path

from tests.chaos.campaign import Campaign

KILLS, SEED = 300, 1


def main() -> None:
    """Run the campaign and print its table."""
    kills, seed = [int(word) for word in sys.argv[1:]] + [KILLS, SEED][len(sys.argv) - 1 :]
    with tempfile.TemporaryDirectory() as folder:
        report = Campaign(Path(folder), seed, with_page=True).run(kills)
    write = sys.stdout.write
    write(
        f"seed {seed}, {report.seconds:.0f} s, {report.checks} checks on the way\n\n| killed | times |\n| --- | --- |\n"
    )
    for name, count in report.kills.most_common():
        write(f"| {name} | {count} |\n")
    stages = ", ".join(f"{name} {count}" for name, count in report.in_stage.most_common())
    write(f"\nruns under way then: {stages}\n")
    ends = ", ".join(f"{count} {name}" for name, count in report.ends.most_common())
    write(f"runs: {ends}; none lost, none changed, no orphan, no lock, no damage\n")


if __name__ == "__main__":
    main()
