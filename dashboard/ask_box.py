"""A text box on a language model's page: baseline and variant answer the same prompt, side by side, as they speak."""

import streamlit as st

from dashboard import components, engine_switch, state
from dashboard.language import gettext as _
from engine.results import RunRecord, Status
from engine.spec import Task
from engine.store.questions import LONGEST_PROMPT, MOST_TOKENS, Question, QuestionStatus, Said
from engine.store.store import Store

SIDES = {"baseline": "Baseline", "variant": "This run"}
EXAMPLE = "Why is the sky blue?"
_LOOK_S = 0.5


@components.guarded
def show(store: Store, record: RunRecord) -> None:
    """Let the viewer ask a finished language model something; other runs have no such box."""
    if record.spec.task is not Task.TEXT_GENERATION or record.status is not Status.DONE:
        return
    st.header(_("Ask both"), anchor=False)
    with st.form(state.key("run", "ask"), border=False):
        prompt = st.text_area(
            _("Prompt"), EXAMPLE, max_chars=LONGEST_PROMPT, height=80, key=state.key("run", "ask_prompt")
        )
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        tokens = left.slider(
            _("Longest answer in tokens"), 16, MOST_TOKENS, 64, step=16, key=state.key("run", "ask_tokens")
        )
        if right.form_submit_button(_("Ask"), type="primary", icon=":material/forum:", width="stretch"):
            _withdraw(store)
            st.session_state[_key(record)] = store.ask(record.id, prompt, tokens)
    question_id = st.session_state.get(_key(record))
    question = None if question_id is None else store.question(question_id)
    if question is None:
        return
    if question.status.is_final:
        _answers(question)
    else:
        _live(store, question.id)


def _key(record: RunRecord) -> str:
    return state.key("run", f"question_{record.id}")


def _withdraw(store: Store) -> None:
    """Take back what this viewer asked before, on any page, and does not wait for any more."""
    for key, question_id in st.session_state.items():
        if str(key).startswith(state.key("run", "question_")):
            store.withdraw(int(question_id))


@st.fragment(run_every=_LOOK_S)
@components.guarded
def _live(store: Store, question_id: int) -> None:
    """Follow the answers to their end."""
    question = store.question(question_id)
    if question is None or question.status.is_final:
        st.rerun()
    if question.status is QuestionStatus.WAITING:
        engine_switch.notice(store)
        st.caption(_("Waits until no run is under way: an answer beside a timing would spoil it."))
        return
    _answers(question)


def _answers(question: Question) -> None:
    for column, (side, title) in zip(st.columns(2), SIDES.items(), strict=True):
        with column.container(border=True, height="stretch"):
            _side(_(title), question.said.get(side), is_over=question.status.is_final)
    if question.error:
        st.error(components.plain(question.error), icon=":material/error:")


def _side(title: str, said: Said | None, *, is_over: bool) -> None:
    st.markdown(f"**{title}**")
    if said is None:
        st.caption(_("was not asked") if is_over else _("loads, or waits for its turn"))
        return
    st.markdown(components.plain(said.text) or " ")
    rate = _("{n} tokens/s").format(n=f"{said.tokens_per_s:.1f}") if said.tokens_per_s else ""
    st.caption(_("{tokens} tokens in {seconds} s").format(tokens=said.tokens, seconds=f"{said.seconds:.2f}"))
    st.markdown(f"**{rate}**")
