from dataclasses import replace

from engine.analysis.fields import categories, category, is_noisy, most_common, numbers
from tests.analysis.rows import text_rows


def test_only_what_differs_is_offered() -> None:
    rows = text_rows()
    assert [entry.name for entry in categories(rows)] == ["backend", "options", "techniques", "parameters"]
    names = [info.name for info in numbers(rows)]
    assert "size_bytes" in names
    assert "peak_memory_bytes" not in names, "it is the same in all sample runs"
    assert numbers(rows[:1]) == []
    assert "model" in [entry.name for entry in categories([*rows, replace(rows[0], model="other")])]


def test_a_noisy_run_is_one_whose_timing_is_in_doubt() -> None:
    row = text_rows()[0]
    assert not is_noisy(row)
    assert is_noisy(replace(row, warnings=("noisy",)))
    assert not is_noisy(replace(row, warnings=("collapse",)))


def test_the_most_common_names_keep_their_order() -> None:
    assert most_common(["b", "a", "c", "a", "b"], 2) == ["b", "a"]


def test_an_unknown_category_is_none() -> None:
    assert category("nonsense") is None
    assert category(None) is None
