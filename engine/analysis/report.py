"""Reports as one HTML file that opens without network: what was seen on a page, to be sent to somebody.

Each is written in the language of whoever takes it away: ``say`` puts its words into it, ``language`` names it as HTML
does, ``"zh-CN"``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from engine.analysis import evidence, figures, table
from engine.analysis.answer import Answer
from engine.analysis.budget import Budget, judge, miss_sentence, verdict_sentence
from engine.analysis.command import command_line
from engine.analysis.comparability import context_label
from engine.analysis.explain import retell
from engine.analysis.figures.page import figures_html, library
from engine.analysis.frontier import FrontierInfo
from engine.analysis.listing import frontier_rows
from engine.analysis.measures import column_title
from engine.analysis.wording import Say, in_english, retold
from engine.cautions import CAUTIONS
from engine.metrics import METRICS
from engine.results import Context, RawData, RunRecord, RunResult

ENGLISH = "en"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b2127; background: #fff; margin: 2rem auto; max-width: 76rem;
       padding: 0 1rem; }
h1 { font-size: 1.8rem; } h2 { font-size: 1.25rem; margin-top: 2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.25rem 0.8rem 0.25rem 0; border-bottom: 1px solid #d9dee4; white-space: nowrap; }
.quiet { color: #5d6672; } pre { background: #f4f6f8; padding: 0.8rem; overflow-x: auto; white-space: pre-wrap; }
li { margin: 0.2rem 0; }
"""


def frontier_report(
    info: FrontierInfo,
    found: Sequence[Answer],
    context: Context,
    style: figures.FrontierStyle,
    budget: Budget,
    *,
    language: str = ENGLISH,
) -> str:
    """Return the frontier of one context with its plot, its answers and its table as one HTML page."""
    say = style.say
    said = [f"<li><b>{escape(one.model)}</b>: {escape(one.told(say))}. {escape(say(one.detail))}</li>" for one in found]
    parts = [f"<ul>{''.join(said)}</ul>"]
    if budget.is_set:
        verdict = judge(info, budget)
        misses = "".join(f"<li>{escape(miss_sentence(info, miss, say))}</li>" for miss in verdict.misses)
        head, sentence = say("Within the budget:"), verdict_sentence(info, verdict, say)
        parts.append(f"<p><b>{escape(head)}</b> {escape(sentence)}</p><ul>{misses}</ul>")
    parts += figures_html([figures.frontier_figure(info, style, budget)]) if info.points else []
    parts.append(_table(frontier_rows(info, say=say), say))
    title = say("What speed can I buy, and what accuracy does it cost?")
    return _page(title, context_label(context, say=say), parts, say, language)


def run_report(record: RunRecord, raw: RawData, say: Say = in_english, *, language: str = ENGLISH) -> str:
    """Return everything that matters about one finished run as one HTML page."""
    said = {"id": record.id, "model": record.spec.model, "label": record.spec.label()}
    title = say("Run {id}: {model}, {label}").format(**said)
    repeat = _heading(say("Repeat it")) + f"<pre>{escape(command_line(record.spec))}</pre>"
    result = record.result
    if result is None:
        return _page(title, say(record.status.value), [repeat], say, language)
    sides = ("", say("This run"), say("Baseline"))
    parts = [
        _rows(("", "", ""), [(number.title, number.value, number.note) for number in table.headline(result, say)]),
        *_words(result, say),
        _heading(say("Latency")),
        _rows(sides, table.percentile_rows(result, say)),
        *figures_html(list(_drawn(raw, say))),
        _heading(say("Answers")),
        _rows(sides, table.quality_rows(result, say)),
        f"<p>{escape(table.change_sentence(result, say))}</p>",
        _heading(say("Footprint")),
        _rows(sides, table.footprint_rows(result, say)),
        _heading(say("Where it was measured")),
        _rows(("", ""), table.environment_rows(result, say)),
        _heading(say("Under which conditions")),
        _rows(("", ""), table.context_rows(result, say)),
        repeat,
    ]
    return _page(title, context_label(result.context, result.environment.cpu_model, say), parts, say, language)


def _words(result: RunResult, say: Say) -> Iterator[str]:
    """Yield what to know before believing the numbers, and why they are what they are."""
    if result.warnings:
        known = [caution.words for caution in CAUTIONS]
        listed = "".join(f"<li>{escape(retold(warning.message, known, say))}</li>" for warning in result.warnings)
        yield _heading(say("Before you quote these numbers"))
        yield f"<ul>{listed}</ul>"
    if result.explanation is not None:
        sentence, _ = retell(result.explanation, say)
        said = say("{sentence}.").format(sentence=sentence)
        yield _heading(say("Why"))
        yield f"<p>{escape(said)}</p>"


def _drawn(raw: RawData, say: Say) -> Iterator[Any]:
    if curves := evidence.latency_curves(raw):
        yield figures.latency_figure(curves, say=say)
    if boxes := evidence.latency_boxes(raw):
        yield figures.box_figure(boxes, say=say)
    matrix = evidence.confusion(raw)
    if matrix is not None:
        yield figures.confusion_figure(matrix, say=say)


def _page(title: str, subtitle: str, parts: Iterable[str], say: Say, language: str) -> str:
    made = say("Made by Subsecond on {moment}.").format(moment=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
    return (
        f'<!doctype html><html lang="{escape(language)}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><script>{library()}</script></head><body>"
        f'<h1>{escape(title)}</h1><p class="quiet">{escape(subtitle)}<br>{escape(made)}</p>'
        f"{''.join(parts)}</body></html>"
    )


def _heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def _table(rows: Sequence[Mapping[str, Any]], say: Say) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    heads = {column_title(info): column_title(info.model_copy(update={"title": say(info.title)})) for info in METRICS}
    return _rows(
        [heads.get(name) or say(name) for name in columns],
        [[_cell(row.get(name)) for name in columns] for row in rows],
    )


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
