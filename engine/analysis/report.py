"""Reports as one HTML file that opens without network: what was seen on a page, to be sent to somebody."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from engine.analysis import evidence, figures, table
from engine.analysis.answer import answers
from engine.analysis.budget import Budget, judge, miss_sentence, verdict_sentence
from engine.analysis.command import command_line
from engine.analysis.comparability import context_label
from engine.analysis.figures.page import figures_html, library
from engine.analysis.frontier import FrontierInfo
from engine.analysis.listing import frontier_rows
from engine.results import Context, RawData, RunRecord

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b2127; background: #fff; margin: 2rem auto; max-width: 76rem;
       padding: 0 1rem; }
h1 { font-size: 1.8rem; } h2 { font-size: 1.25rem; margin-top: 2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.25rem 0.8rem 0.25rem 0; border-bottom: 1px solid #d9dee4; white-space: nowrap; }
.quiet { color: #5d6672; } pre { background: #f4f6f8; padding: 0.8rem; overflow-x: auto; white-space: pre-wrap; }
li { margin: 0.2rem 0; }
"""


def frontier_report(info: FrontierInfo, context: Context, style: figures.FrontierStyle, budget: Budget) -> str:
    """Return the frontier of one context with its plot, its answers and its table as one HTML page."""
    runs = [point.run for point in info.points]
    said = [
        f"<li><b>{escape(one.model)}</b>: {escape(one.headline)}. {escape(one.detail)}</li>" for one in answers(runs)
    ]
    parts = [f"<ul>{''.join(said)}</ul>"]
    if budget.is_set:
        verdict = judge(info, budget)
        misses = "".join(f"<li>{escape(miss_sentence(info, miss))}</li>" for miss in verdict.misses)
        parts.append(f"<p><b>Within the budget:</b> {escape(verdict_sentence(info, verdict))}</p><ul>{misses}</ul>")
    parts += figures_html([figures.frontier_figure(info, style, budget)]) if info.points else []
    parts.append(_table(frontier_rows(info)))
    return _page("What speed can be bought, and what accuracy it costs", context_label(context), parts)


def run_report(record: RunRecord, raw: RawData) -> str:
    """Return everything that matters about one finished run as one HTML page."""
    title = f"Run {record.id}: {record.spec.model}, {record.spec.label()}"
    repeat = f"<h2>Repeat it</h2><pre>{escape(command_line(record.spec))}</pre>"
    result = record.result
    if result is None:
        return _page(title, record.status.value, [repeat])
    numbers = [(number.title, number.value, number.note) for number in table.headline(result)]
    drawn = [figures.latency_figure(curves)] if (curves := evidence.latency_curves(raw)) else []
    drawn += [figures.box_figure(boxes)] if (boxes := evidence.latency_boxes(raw)) else []
    matrix = evidence.confusion(raw)
    drawn += [figures.confusion_figure(matrix)] if matrix is not None else []
    warnings = "".join(f"<li>{escape(warning.message)}</li>" for warning in result.warnings)
    why = result.explanation
    parts = [
        _rows(("", "", ""), numbers),
        f"<h2>Before you quote these numbers</h2><ul>{warnings}</ul>" if warnings else "",
        f"<h2>Why</h2><p>{escape(why.sentence)}.</p>" if why is not None else "",
        "<h2>Latency</h2>",
        _rows(("", "This run", "Baseline"), table.percentile_rows(result)),
        *figures_html(drawn),
        "<h2>Answers</h2>",
        _rows(("", "This run", "Baseline"), table.quality_rows(result)),
        f"<p>{escape(table.change_sentence(result))}</p>",
        "<h2>Footprint</h2>",
        _rows(("", "This run", "Baseline"), table.footprint_rows(result)),
        "<h2>Where and under which conditions it was measured</h2>",
        _rows(("", ""), [*table.environment_rows(result), *table.context_rows(result)]),
        repeat,
    ]
    return _page(title, context_label(result.context, result.environment.cpu_model), parts)


def _page(title: str, subtitle: str, parts: Iterable[str]) -> str:
    made = datetime.now(UTC).strftime("%-d %b %Y, %H:%M UTC")
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><script>{library()}</script></head><body>"
        f'<h1>{escape(title)}</h1><p class="quiet">{escape(subtitle)}<br>Made by Subsecond on {made}.</p>'
        f"{''.join(parts)}</body></html>"
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return _rows(columns, [[_cell(row.get(name)) for name in columns] for row in rows])


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
