import io
from pathlib import Path

import pandas as pd
import pytest

from dashboard.downloads import everything_as_csv, everything_as_parquet
from engine.analysis.export import csv_text
from engine.analysis.exported import on_frontier
from engine.results import Disturbance, Metric, Status, TimingPlan
from engine.store.selection import RunFilter
from engine.store.store import Store
from tests.benchmarks.many_runs import fill
from tests.dashboard.conftest import OpenPage
from tests.dashboard.samples import DISTILL, INT8, SERVICE, add_done, sample_result, sample_spec
from tests.fakes import make_insight


@pytest.fixture
def varied(filled: Store) -> Store:
    """The made-up sweep, and runs with everything that a result may hold."""
    spec = sample_spec((DISTILL, INT8), seed=5)
    seen = Disturbance(foreign_share=0.012, steal_share=None, migrations=0.3, clock_drift=0.021, pinned=True)
    plan = TimingPlan(pairs=3, min_iterations=100, min_seconds=1, warmup_seconds=0.5)
    add_done(filled, spec, sample_result(spec, timing=plan, disturbance=seen, **make_insight()))
    odd = sample_spec((INT8,), seed=6)
    numbers = sample_result(odd).metrics | {"roc_auc": Metric(value=float("nan"))}
    add_done(filled, odd, sample_result(odd).model_copy(update={"metrics": numbers}))
    filled.enqueue([sample_spec(seed=7)], 'a "b", c\nd')
    return filled


def test_the_fast_way_gives_the_same_table_as_the_records(varied: Store) -> None:
    fast = pd.read_csv(io.BytesIO(everything_as_csv(varied)))
    slow = pd.read_csv(io.StringIO(csv_text(varied.runs())))
    pd.testing.assert_frame_equal(fast[sorted(fast)], slow[sorted(slow)])
    assert len(fast) == 20


def test_only_chosen_runs_are_exported_and_the_frontier_is_that_of_all(varied: Store) -> None:
    everything = pd.read_csv(io.BytesIO(everything_as_csv(varied))).set_index("run")
    some = pd.read_csv(io.BytesIO(everything_as_csv(varied, RunFilter((Status.DONE,), words="distill")))).set_index(
        "run"
    )
    assert 0 < len(some) < len(everything)
    assert (some["on_frontier"] == everything.loc[some.index, "on_frontier"]).all()


def test_an_export_is_of_one_moment(filled: Store) -> None:
    with filled.snapshot() as seen:
        best = on_frontier(seen)
        spec = sample_spec((DISTILL, INT8), seed=9)
        add_done(filled, spec, sample_result(spec, p50_ms=0.001, accuracy=1.0))
        assert on_frontier(seen) == best
        before = {row.id for row in seen.exported(RunFilter())}
    with filled.snapshot() as seen:
        assert on_frontier(seen) != best
        assert len(list(seen.exported(RunFilter()))) == len(before) + 1


def test_parquet_holds_the_same_numbers_with_their_types(varied: Store) -> None:
    table = pd.read_parquet(io.BytesIO(everything_as_parquet(varied))).set_index("run")
    text = pd.read_csv(io.BytesIO(everything_as_csv(varied))).set_index("run")
    assert table["latency_p50_ms"].tolist() == pytest.approx(text["latency_p50_ms"].tolist(), nan_ok=True)
    assert table["on_frontier"].dtype == bool
    assert set(table.columns) == set(text.columns)


def test_an_empty_database_gives_the_header(store: Store) -> None:
    assert everything_as_csv(store).count(b"\r\n") == 1
    assert len(pd.read_parquet(io.BytesIO(everything_as_parquet(store)))) == 0


def test_a_column_of_a_later_chunk_widens_the_earlier_ones(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.analysis.export.CHUNK_ROWS", 1)
    store.beat(SERVICE, "m", 1)
    explained, plain = sample_spec(seed=1), sample_spec(seed=2)
    add_done(store, explained, sample_result(explained, **make_insight()))
    add_done(store, plain, sample_result(plain))
    table = pd.read_csv(io.BytesIO(everything_as_csv(store)))
    assert table["run"].tolist() == [2, 1]
    assert table["why"].isna().tolist() == [True, False]


def test_the_generator_makes_runs_of_one_context_that_pages_can_show(database_path: Path, open_page: OpenPage) -> None:
    fill(database_path, 60)
    store = Store(database_path)
    (context, count), *others = store.contexts()
    fingerprints = {row.fingerprint for row in store.summaries(context_key=context.key)}
    store.close()
    assert (count, others, len(fingerprints)) == (60, [], 60)
    app = open_page(database_path)
    assert not app.exception
    assert len(app.dataframe[0].value) == 60
