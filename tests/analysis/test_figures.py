import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from engine.analysis.budget import Budget
from engine.analysis.evidence import confusion, latency_boxes, latency_curves
from engine.analysis.figures import (
    MANY,
    FrontierStyle,
    agreement_figure,
    axis_title,
    box_figure,
    confusion_figure,
    frontier_figure,
    growth_figure,
    hover_text,
    latency_figure,
    series_figure,
    steps_figure,
)
from engine.analysis.figures.palette import NEUTRAL, shades
from engine.analysis.frontier import frontier_info
from engine.analysis.hypervolume import growth
from engine.metrics import METRICS
from engine.results import Metric, RawData
from tests.analysis.rows import row_of, text_rows
from tests.dashboard.samples import INT8, sample_raw, sample_record, sample_spec
from tests.fakes import make_insight


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_every_run_is_a_point_that_knows_its_run() -> None:
    info = frontier_info(text_rows())
    found = traces(frontier_figure(info))
    ids = [run_id for name in ("baseline", "torch", "onnxruntime") for run_id in found[name].customdata]
    assert sorted(ids) == [row.id for row in text_rows()]
    assert found["baseline"].x == (15.3,)
    assert found["baseline"].marker.symbol == "star"


def test_points_off_the_frontier_are_hollow() -> None:
    info = frontier_info(text_rows())
    trace = traces(frontier_figure(info))["onnxruntime"]
    symbols = dict(zip(trace.customdata, trace.marker.symbol, strict=True))
    assert symbols[11] == "square"
    assert symbols[12] == "square-open"


def test_the_step_line_goes_through_the_frontier_and_on_to_what_was_measured() -> None:
    line = traces(frontier_figure(frontier_info(text_rows())))["frontier"]
    assert line.x == (1.5, 1.5, 2.4, 4.1, 5.6, 31.0)
    assert line.y == (0.836, 0.836, 0.855, 0.857, 0.858, 0.858)
    assert line.line.shape == "hv"


def test_the_step_line_turns_where_more_is_better() -> None:
    line = traces(frontier_figure(frontier_info(text_rows(), x="speedup")))["frontier"]
    assert line.line.shape == "vh"
    assert line.x[0] == pytest.approx(15.3 / 31)
    assert line.y[-1] == 0.836


def test_intervals_are_drawn_both_ways() -> None:
    info = frontier_info(text_rows())
    star = traces(frontier_figure(info))["baseline"]
    point = next(point for point in info.points if point.is_baseline)
    assert point.x.ci95 is not None
    assert star.error_x.array == (pytest.approx(point.x.ci95[1] - 15.3),)
    assert star.error_x.arrayminus == (pytest.approx(15.3 - point.x.ci95[0]),)
    assert star.error_y.array[0] > 0


def test_a_crowd_shows_intervals_of_the_frontier_only() -> None:
    beaten = [row for row in text_rows() if row.id == 12]
    crowd = text_rows() + [replace(beaten[0], id=100 + number) for number in range(MANY)]
    drawn = [trace for trace in frontier_figure(frontier_info(crowd)).data if trace.name == "onnxruntime"]
    reach = {
        run_id: up
        for trace in drawn
        for run_id, up in zip(trace.customdata, trace.error_y.array or [None] * len(trace.customdata), strict=True)
    }
    assert reach[11] > 0
    assert reach[12] is reach[100] is None


def test_a_crowd_is_drawn_by_markers_that_are_alike_and_named_once() -> None:
    beaten = next(row for row in text_rows() if row.id == 12)
    crowd = text_rows() + [replace(beaten, id=100 + number) for number in range(MANY)]
    figure = frontier_figure(frontier_info(crowd), None, Budget(x=5.0))
    drawn = [trace for trace in figure.data if trace.name == "onnxruntime"]
    looks = {run_id: trace.marker for trace in drawn for run_id in trace.customdata}
    assert all(isinstance(trace.marker[name], str | float | int) for trace in drawn for name in ("color", "opacity"))
    assert (looks[11].symbol, looks[100].symbol) == ("square", "square-open")
    assert looks[11].color != looks[7].color == NEUTRAL
    assert [trace.showlegend for trace in drawn].count(True) == 1
    assert drawn[-1].showlegend
    assert 11 in drawn[-1].customdata or 7 in drawn[-1].customdata, "the frontier lies on top"


def test_models_have_colours_and_backends_have_symbols() -> None:
    rows = text_rows()
    other = [replace(row, id=row.id + 50, model="other") for row in rows]
    found = traces(frontier_figure(frontier_info([*rows, *other])))
    assert found["minilm-l6 · onnxruntime"].marker.color == found["minilm-l6 · torch"].marker.color
    assert found["minilm-l6 · onnxruntime"].marker.color != found["other · onnxruntime"].marker.color
    assert found["minilm-l6 · torch"].marker.symbol[0].startswith("circle")


def test_frontier_points_are_named_beside_them() -> None:
    figure = frontier_figure(frontier_info(text_rows()))
    texts = {text.replace("<br>", "").strip() for text in traces(figure)["names"].text}
    assert {"baseline", "distill + int8-dynamic", "prune-structured + int8-dynamic"} <= texts


def test_hover_tells_everything_and_takes_no_markup_from_names() -> None:
    row = replace(row_of(sample_record(7, sample_spec((INT8,)))), model="<b>mine</b>", warnings=("noisy",))
    info = frontier_info([row])
    text = hover_text(info.points[0], info)
    assert "&lt;b&gt;mine" in text
    for part in (
        "per_channel=True",
        "onnxruntime",
        "Latency p50  4.00 ms [",
        "Speed-up  3.8",
        "Accuracy  85.8 % [",
    ):
        assert part in text
    assert "Size on disk  91.0 MB" in text
    assert "noisy" in text


def test_axis_titles_carry_unit_and_the_way_to_better() -> None:
    assert axis_title(METRICS.get("latency_p50_ms")) == "Latency p50, ms    <b>← better</b>"
    assert axis_title(METRICS.get("accuracy")) == "Accuracy    <b>better →</b>"
    assert axis_title(METRICS.get("throughput_per_s")).startswith("Throughput, 1/s")


def test_a_view_and_its_zoom_are_kept() -> None:
    style = FrontierStyle(view="a", x_range=(0.1, 0.9), y_range=(0.84, 0.86))
    layout = frontier_figure(frontier_info(text_rows()), style).layout
    assert layout.uirevision == "a"
    assert (layout.xaxis.range, layout.yaxis.range) == ((0.1, 0.9), (0.84, 0.86))
    assert frontier_figure(frontier_info(text_rows())).layout.xaxis.range is None


def test_log_scale_is_a_choice() -> None:
    info = frontier_info(text_rows())
    log, linear = (frontier_figure(info, FrontierStyle(log_x=on)) for on in (True, False))
    assert (log.layout.xaxis.type, linear.layout.xaxis.type) == ("log", "linear")
    assert 15.3 in traces(log)["names"].x


def test_names_do_not_widen_the_axes() -> None:
    assert frontier_figure(frontier_info(text_rows())).layout.annotations == ()


def test_an_empty_plot_can_be_drawn() -> None:
    assert [trace.name for trace in frontier_figure(frontier_info([])).data] == ["names"]


def test_one_point_alone_can_be_drawn() -> None:
    assert json.loads(frontier_figure(frontier_info(text_rows()[:1])).to_json())["data"]


def test_latency_curves_show_all_and_each_process() -> None:
    figure = latency_figure(latency_curves(sample_raw()))
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert shown == ["this run", "baseline"]
    assert len(figure.data) == 8


def test_one_slow_query_does_not_squeeze_the_curves() -> None:
    seconds = np.full(1000, 0.002)
    seconds[-1] = 3.0
    figure = latency_figure(latency_curves(RawData(arrays={"candidate_latency_s": seconds})))
    left, right = (10**end for end in figure.layout.xaxis.range)
    assert left < 2.0 < right < 3.0
    assert max(figure.data[-1].x) == 3000, "it is still there"


def test_confusion_has_true_classes_as_rows() -> None:
    matrix = confusion(sample_raw())
    assert matrix is not None
    assert confusion_figure(matrix).data[0].z == tuple(list(row) for row in matrix.counts)


def test_ticks_of_a_narrow_plot_are_left_to_the_library() -> None:
    everything = text_rows()
    wide, narrow = (frontier_figure(frontier_info(rows)) for rows in (everything, everything[:1]))
    assert wide.layout.xaxis.dtick == "D2"
    assert narrow.layout.xaxis.dtick is None


@pytest.mark.parametrize("dark", [False, True])
def test_steps_are_bars_of_what_was_left_after_each(dark: bool) -> None:
    figure = steps_figure(make_insight()["steps"], dark=dark)
    accuracy, size, left, work = figure.data
    assert list(accuracy.x) == ["0. fine-tune", "1. int8-dynamic"]
    assert list(accuracy.y) == pytest.approx([87, 86.5])
    assert list(size.y) == [91, 23]
    assert list(left.y) == pytest.approx([22.7, 22.7])
    assert list(work.y) == pytest.approx([580, 580])
    assert figure.layout.xaxis.title.text == "Accuracy, %"
    assert figure.layout.xaxis4.title.text == "Operations a sample, M"


def test_a_budget_greys_what_is_outside_lights_the_best_and_shades_what_is_allowed() -> None:
    figure = frontier_figure(frontier_info(text_rows()), FrontierStyle(log_x=False), Budget(x=5.0, drop=0.004))
    found = traces(figure)
    colors = dict(zip(found["onnxruntime"].customdata, found["onnxruntime"].marker.color, strict=True))
    assert colors[11] != NEUTRAL
    assert colors[12] == colors[7] == NEUTRAL
    assert list(found["best within the budget"].customdata) == [11]
    (shade, *lines) = figure.layout.shapes
    assert (shade.x1, shade.y0) == (5.0, pytest.approx(0.854))
    assert shade.x0 < 1.5
    assert shade.y1 > 0.858
    assert len(lines) == 2


def test_a_bound_on_one_axis_shades_the_whole_other_one() -> None:
    (shade, _) = frontier_figure(frontier_info(text_rows()), None, Budget(x=5.0)).layout.shapes
    assert (shade.yref, shade.y0, shade.y1) == ("y domain", 0, 1)
    assert shade.xref == "x"


def test_a_bound_far_beyond_everything_does_not_squeeze_the_plot() -> None:
    (shade,) = frontier_figure(frontier_info(text_rows()), None, Budget(x=1e9)).layout.shapes
    assert shade.x1 < 100


def test_a_drop_that_nothing_can_be_held_against_shades_nothing() -> None:
    nothing = {"accuracy_change": Metric(value=None)}
    rows = [replace(row, metrics=MappingProxyType({**row.metrics, **nothing})) for row in text_rows()[2:]]
    assert frontier_figure(frontier_info(rows), None, Budget(drop=0.1)).layout.shapes == ()


def test_noisy_runs_are_crossed_and_selected_ones_ringed() -> None:
    rows = text_rows()
    rows[3] = replace(rows[3], warnings=("noisy",))
    found = traces(frontier_figure(frontier_info(rows), FrontierStyle(selected=frozenset({7}))))
    assert list(found["noisy"].customdata) == [rows[3].id]
    assert list(found["selected"].customdata) == [7]
    assert "noisy" not in traces(frontier_figure(frontier_info(text_rows())))


def test_points_are_coloured_by_a_name_or_a_number_and_sized_by_a_number() -> None:
    info = frontier_info(text_rows())
    named = traces(frontier_figure(info, FrontierStyle(color="techniques")))
    assert "int8-dynamic · onnxruntime" in named
    assert named["int8-dynamic · onnxruntime"].marker.color == named["int8-dynamic · torch"].marker.color
    numbered = traces(frontier_figure(info, FrontierStyle(color="size_bytes", size="size_bytes")))["onnxruntime"]
    assert (numbered.marker.cmin, numbered.marker.cmax) == (18e6, 91e6)
    sizes = dict(zip(numbered.customdata, numbered.marker.size, strict=True))
    assert sizes[7] > sizes[11] > 4


def test_of_a_dense_crowd_each_spot_is_drawn_once() -> None:
    beaten = next(row for row in text_rows() if row.id == 12)
    crowd = text_rows() + [replace(beaten, id=100 + number) for number in range(2100)]
    found = traces(frontier_figure(frontier_info(crowd)))
    assert len(found["onnxruntime"].customdata) < 20


def test_runs_that_coincide_on_the_frontier_are_drawn_once_where_there_are_many() -> None:
    best = next(row for row in text_rows() if row.id == 11)
    crowd = text_rows() + [replace(best, id=100 + number) for number in range(300)]
    drawn = [trace for trace in frontier_figure(frontier_info(crowd)).data if trace.name == "onnxruntime"]
    ids = [run_id for trace in drawn for run_id in trace.customdata]
    assert 399 in ids, "the newest of those that coincide"
    assert len(ids) < 20


def test_growth_marks_the_run_up_to_which_it_is_replayed() -> None:
    grown = growth(frontier_info(text_rows()), log_x=True)
    line, mark = growth_figure(grown, 3).data
    assert (mark.x, mark.y) == ((3,), (grown.shares[2],))
    assert len(line.x) == 10


def test_boxes_show_quartiles_and_every_outlier() -> None:
    seconds = np.append(np.linspace(0.001, 0.002, 101), 1.0)
    (box,) = latency_boxes(RawData(arrays={"candidate_latency_s": seconds}))
    assert (box.median_ms, box.outliers_ms) == (pytest.approx(1.505), (1000.0,))
    drawn, outliers = box_figure([box]).data
    assert drawn.median == (box.median_ms,)
    assert drawn.upperfence == (pytest.approx(2.0),)
    assert outliers.x == (1000.0,)


def test_a_series_has_a_line_for_each_name_and_gaps() -> None:
    times = [datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in range(3)]
    one, two = series_figure(times, {"a": [1, 2, 3], "b": [None, 5, None]}, "GB").data
    assert (one.name, list(one.y), list(two.y)) == ("a", [1, 2, 3], [None, 5, None])


def test_agreement_is_drawn_pair_by_pair() -> None:
    (heat,) = agreement_figure(["run 1", "run 2"], [[1.0, 0.9], [0.9, 1.0]]).data
    assert [list(row) for row in heat.z] == [[1.0, 0.9], [0.9, 1.0]]


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_in_cells_can_be_read_on_light_and_dark_pages(dark: bool) -> None:
    faint, many = (color for _, color in shades(dark=dark))
    assert re.fullmatch("#[0-9a-f]{6}", faint), "the library takes what is behind a translucent cell for white"
    dark_ink, light_ink = "#444444", "#ffffff"  # what Plotly writes on light and on dark cells
    assert contrast(faint, light_ink if dark else dark_ink) > 4.5
    assert contrast(many.lower(), light_ink) > 4.5


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, 1.4.3)."""

    def luminance(color: str) -> float:
        parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
