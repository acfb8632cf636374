"""The README's tables, made from the registries: ``python -m tests.readme`` writes them."""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from engine.backends import BACKENDS
from engine.datasets import DATASETS
from engine.models import MODELS
from engine.scenarios import SCENARIOS
from engine.techniques import TECHNIQUES
from tests import measured
from tests.benchmarks import bench_trust

README = Path(__file__).parents[1] / "README.md"
_MARKED = re.compile(r"<!-- table:(\w+) -->\n(?:\|.*\n)*")


def tables() -> dict[str, str]:
    """Return every table as Markdown, by name."""
    return {
        "models": _table(("model", "task", "what it is"), ((f"`{m.name}`", str(m.task), m.summary) for m in MODELS)),
        "datasets": _table(
            ("data set", "what it is", "licence"), ((f"`{d.name}`", d.summary, d.licence) for d in DATASETS)
        ),
        "techniques": _table(
            ("technique", "what it does", "parameters"),
            ((f"`{t.name}`", t.summary, _parameters(t.config_type)) for t in TECHNIQUES),
        ),
        "backends": _table(
            ("backend", "what it is", "options"),
            ((f"`{b.name}`", b.summary, _parameters(b.options_type)) for b in BACKENDS),
        ),
        "trust": bench_trust.table(bench_trust.RECORDED),
        "scenarios": _table(
            ("scenario", "what it is", "options"),
            ((f"`{s.name}`", s.summary, _parameters(s.options_type)) for s in SCENARIOS),
        ),
        **_measured(),
    }


def _measured() -> dict[str, str]:
    """Return the tables of what was recorded; one whose study was not is left empty."""
    return {f"measured_{name}": _table(header, iter(rows())) for name, (header, rows) in measured.TABLES.items()}


def with_tables(text: str) -> str:
    """Return the README's text with every marked table as it should be."""
    made = tables()
    return _MARKED.sub(lambda match: f"<!-- table:{match[1]} -->\n{made[match[1]]}", text)


def commands(text: str) -> list[str]:
    """Return every ``subsecond`` line of the README's code blocks, comments left out."""
    blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    lines = (line.split("#")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line.startswith("subsecond ")]


def _parameters(config: type[BaseModel]) -> str:
    fields = config.model_json_schema().get("properties", {})
    return ", ".join(f"`{name}={str(facts['default']).lower()}`" for name, facts in fields.items())


def _table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text("utf-8")), "utf-8")
