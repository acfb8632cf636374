"""Two to six runs side by side, by their numbers in the address: ``?runs=11,12``."""

import streamlit as st

from dashboard import components, engine_switch, sample_gallery, state
from dashboard.language import gettext as _
from dashboard.language import ngettext, wording
from engine.analysis import figures
from engine.analysis.comparability import key_title
from engine.analysis.compare import EVIDENCE, MOST, ComparedNumber, Comparison, Difference, compare_runs
from engine.analysis.evidence import latency_curve
from engine.analysis.wording import retold
from engine.errors import InvalidValueError
from engine.results import RawData
from engine.store.store import Store

SIGNS = {
    Difference.BETTER: ":green[:material/arrow_upward: {word}]",
    Difference.WORSE: ":red[:material/arrow_downward: {word}]",
    Difference.DIFFERENT: ":orange[≠ {word}]",
    Difference.TIED: ":gray[= {word}]",
    Difference.UNKNOWN: ":gray[{word}]",
    Difference.REFERENCE: "",
}


def wanted_ids() -> list[int]:
    """Return the runs named in the address.

    Raises:
        InvalidValueError: if one of them is no number.
    """
    parts = [part.strip() for part in st.query_params.get("runs", "").split(",") if part.strip()]
    for part in parts:
        if not part.isdecimal():
            said = _("'{text}' is not the number of a run. Write them as ?runs=11,12.")
            raise InvalidValueError(said.format(text=part[:40]))
    return list(dict.fromkeys(int(part) for part in parts))


def choose(store: Store) -> None:
    """Let the person name the runs where the address does not."""
    st.markdown(_("Tick two to six runs under the plot or in the list of runs, or name them here."))
    typed = st.text_input(_("Numbers of runs"), placeholder="11, 12", key=state.key("compare", "typed"))
    if typed.strip():
        st.query_params["runs"] = ",".join(part.strip() for part in typed.split(",")[: MOST + 1])
        st.rerun()
    with st.container(horizontal=True):
        st.page_link(components.FRONTIER, label=_("Frontier"), icon=":material/arrow_forward:")
        st.page_link(components.RUNS, label=_("Runs"), icon=":material/arrow_forward:")
    engine_switch.notice(store)


def show_heads(found: Comparison) -> None:
    """Show what each run is, with a link to it; the first one is what the others are held against."""
    for place, (column, record) in enumerate(zip(st.columns(len(found.runs)), found.runs, strict=True)):
        with column.container(border=True, height="stretch"):
            st.markdown(f"**{components.plain(record.spec.label())}**")
            st.caption(components.plain(record.spec.model))
            components.run_link(record.id, _("Run {id}").format(id=record.id))
            if place == 0:
                st.badge(_("held against this one"), color="blue")


def show_numbers(found: Comparison) -> None:
    """Show every metric of every run, each marked as better, worse or tied."""
    if found.differing:
        keys = components.plain(", ".join(key_title(name, _).lower() for name in found.differing))
        st.warning(
            _("Measured under different conditions ({keys}): times are not compared.").format(keys=keys),
            icon=":material/warning:",
        )
    only = st.toggle(_("Only what differs"), key=state.key("compare", "only"), bind="query-params")
    header = (_("Measure"), *(_("Run {id}").format(id=record.id) for record in found.runs))
    rows = [
        (components.plain(_(row.info.title)), *(written(number) for number in row.numbers))
        for row in found.metrics
        if not only or any(number.difference in (Difference.BETTER, Difference.WORSE) for number in row.numbers)
    ]
    components.grid(header, rows, markdown=header)
    st.caption(
        _(
            "Tied: no difference beyond chance, or one below 1 %. Accuracy by McNemar's exact test on the same "
            "samples; latency by the speed-ups over the baseline timed in the same run, or by a bootstrap of the kept "
            "samples; the rest by 95 % intervals."
        )
    )


def written(number: ComparedNumber) -> str:
    """Return a number with its mark, in Markdown."""
    sign = SIGNS[number.difference].format(word=_(number.difference.value))
    said = retold(number.evidence, EVIDENCE, wording())
    evidence = f" :gray[{components.plain(said)}]" if said else ""
    return f"{components.plain(number.text)} {sign}{evidence}".strip()


def show_latency(found: Comparison, raws: list[RawData]) -> None:
    """Show how the latency of each run is spread."""
    named = [(_("run {id}").format(id=record.id), raw) for record, raw in zip(found.runs, raws, strict=True)]
    curves = [curve for name, raw in named if (curve := latency_curve(raw, "candidate", name)) is not None]
    if not curves:
        return
    st.header(_("Latency"), anchor=False)
    st.plotly_chart(
        figures.latency_figure(curves, dark=components.is_dark(), say=wording()),
        key=state.key("compare", "latency"),
        config={"displayModeBar": False},
        alt=_("Share of queries answered within a time, one curve a run"),
    )


def show_answers(found: Comparison, raws: list[RawData]) -> None:
    """Show on which samples the runs disagree."""
    names = [_("run {id}").format(id=record.id) for record in found.runs]
    if all(share is None for place, row in enumerate(found.agreement) for share in row[:place]):
        return
    st.header(_("Answers"), anchor=False)
    left, right = st.columns([2, 3])
    with left:
        st.plotly_chart(
            figures.agreement_figure(names, found.agreement, dark=components.is_dark(), say=wording()),
            key=state.key("compare", "agreement"),
            config={"displayModeBar": False},
            alt=_("Share of samples that each pair of runs answers alike"),
        )
    with right:
        count = len(found.disagreed)
        st.markdown(ngettext("They disagree on {n} sample.", "They disagree on {n} samples.", count))
        answers = {name: raw.arrays["predictions"] for name, raw in zip(names, raws, strict=True) if _has_answers(raw)}
        sample_gallery.show(found.runs[0], raws[0], answers, found.disagreed)


def _has_answers(raw: RawData) -> bool:
    return "predictions" in raw.arrays


def main() -> None:
    """Show the page from top to bottom."""
    store = state.store()
    st.title(_("Compare"))
    ids = wanted_ids()
    if not ids:
        choose(store)
        return
    records = [store.run(run_id) for run_id in ids[: MOST + 1]]
    raws = [store.raw(record.id) for record in records]
    found = compare_runs(records, raws)
    show_heads(found)
    show_numbers(found)
    show_latency(found, raws)
    show_answers(found, raws)


main()
