"""The machines that measured, what each can run, and the proof that its numbers are right."""

import streamlit as st

from dashboard import components, state
from engine.analysis.instrument import Instrument, backend_rows, check_facts, check_rows, instruments, machine_rows
from engine.results import SelfCheck


def show_check(check: SelfCheck) -> None:
    """Show whether the instrument was right, and what it was asked."""
    with st.container(horizontal=True, vertical_alignment="center"):
        components.check_badge(check)
        st.caption(components.plain(f"{components.when(check.checked_at)} · {check_facts(check)}"))
    rows = [(name, expected, seen, components.mark(passed)) for name, expected, seen, passed in check_rows(check)]
    components.grid(("Check", "Expected", "Seen", "Passed"), rows, markdown=("Passed",))


def show_machine(instrument: Instrument, title: str) -> None:
    """Show one machine from what it is to what proves it."""
    with st.container(border=True):
        st.subheader(components.plain(title), anchor=False)
        st.caption(f"Last seen {components.when(instrument.seen_at)}")
        left, right = st.columns(2)
        with left:
            st.markdown("**What it is**")
            components.facts(machine_rows(instrument))
        with right:
            st.markdown("**What it can run**")
            if instrument.capabilities:
                components.facts(backend_rows(instrument))
            else:
                st.caption("No engine has described itself there yet.")
        st.markdown("**Self-check**")
        if instrument.check is None:
            st.markdown(components.UNPROVEN)
        else:
            show_check(instrument.check)


def main() -> None:
    """Show the page."""
    store = state.store()
    st.title("Machines")
    found = instruments(store.machines(), store.selfchecks())
    if not found:
        st.markdown("No engine has described its machine yet.")
        components.engine_notice(state.is_engine_alive(store))
        return
    for instrument in found:
        place = instrument.environment
        show_machine(instrument, f"{place.cpu_model}, {place.cores} cores")


main()
