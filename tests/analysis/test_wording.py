"""Sentences that a record keeps in English find back to the template they were made from."""

from collections.abc import Sequence
from string import Formatter

import pytest

from engine.analysis import compare, explain, presets, table
from engine.analysis.wording import in_english, retold
from engine.cautions import CAUTIONS
from engine.insight import Layout

FAMILIES = {
    "verdicts": explain.VERDICTS,
    "reasons": explain.REASONS,
    "evidence": compare.EVIDENCE,
    "layouts": table.LAYOUTS,
    "warnings": [caution.words for caution in CAUTIONS],
    "bounds": (presets.BOUND,),
}


def filled(template: str) -> str:
    names = [name for _, name, _, _ in Formatter().parse(template) if name]
    return template.format(**{name: f"{number}7%" for number, name in enumerate(names, 1)})


@pytest.mark.parametrize("templates", FAMILIES.values(), ids=FAMILIES)
def test_every_sentence_finds_its_own_template(templates: Sequence[str]) -> None:
    found: list[str] = []

    def say(template: str) -> str:
        found.append(template)
        return template

    for template in templates:
        assert retold(filled(template), templates, say) == filled(template)
    assert found == list(templates)


def test_values_go_where_the_other_language_wants_them() -> None:
    words = {"{n} of {all} are left": "von {all} bleiben {n}"}
    assert retold("3 of 36 (x) are left", list(words), words.__getitem__) == "von 36 (x) bleiben 3"


def test_a_sentence_that_nobody_made_stays_as_it_is() -> None:
    assert retold("Once upon a {time}", explain.REASONS, in_english) == "Once upon a {time}"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("kind", "processes"), [("copies", 1), ("copies", 2), ("pipeline", 2)])
def test_every_layout_has_a_template(kind: str, processes: int, threads: int) -> None:
    title = Layout.model_validate({"kind": kind, "processes": processes, "threads": threads}).title
    assert retold(title, table.LAYOUTS, lambda template: "known") == "known"
