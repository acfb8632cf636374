"""The engine and its machines: signs of life, what each can run, the proof that its numbers are right, the logs."""

import streamlit as st

from dashboard import components, state, system_view
from dashboard.language import gettext as _
from dashboard.language import wording
from engine.analysis.instrument import Instrument, backend_rows, check_facts, check_rows, instruments, machine_rows
from engine.results import SelfCheck


def show_check(check: SelfCheck) -> None:
    """Show whether the instrument was right, and what it was asked."""
    with st.container(horizontal=True, vertical_alignment="center"):
        components.check_badge(check)
        st.caption(components.plain(f"{components.when(check.checked_at)} · {check_facts(check, wording())}"))
    rows = [(name, expected, seen, components.mark(ok)) for name, expected, seen, ok in check_rows(check)]
    passed = _("Passed")
    components.grid((_("Check"), _("Expected"), _("Seen"), passed), rows, markdown=(passed,))


def show_machine(instrument: Instrument, title: str) -> None:
    """Show one machine from what it is to what proves it."""
    with st.container(border=True):
        st.subheader(components.plain(title), anchor=False)
        st.caption(_("Last seen {when}").format(when=components.when(instrument.seen_at)))
        left, right = st.columns(2)
        with left:
            st.markdown(f"**{_('What it is')}**")
            components.facts(machine_rows(instrument, wording()))
        with right:
            st.markdown(f"**{_('What it can run')}**")
            if instrument.capabilities:
                components.facts(backend_rows(instrument, wording()))
            else:
                st.caption(_("No engine has described itself there yet."))
        st.markdown(f"**{_('Self-check')}**")
        if instrument.check is None:
            st.markdown(_(components.UNPROVEN))
        else:
            show_check(instrument.check)


def main() -> None:
    """Show the page."""
    store = state.store()
    st.title(_("System"))
    system_view.live(store)
    st.header(_("Machines"), anchor=False)
    found = instruments(store.machines(), store.selfchecks())
    if not found:
        st.markdown(_("No engine has described its machine yet."))
    for instrument in found:
        place = instrument.environment
        show_machine(instrument, _("{cpu}, {n} cores").format(cpu=place.cpu_model, n=place.cores))
    system_view.logs(store)
    system_view.actions(store)


main()
