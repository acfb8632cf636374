"""A run's two sides answer a prompt: what is streamed, what ends it, what is refused."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import asking
from engine.asking import Inquiry, Reply
from engine.errors import DataError, MeasurementError
from engine.models.prompts import chat, end_tokens, load_tokenizer
from engine.reply import answer
from engine.resolve import resolve
from engine.spec import Choice, ExperimentSpec
from tests import tiny_lm

TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}<answer>"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExperimentSpec]:
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path / "cache"))
    folder = tiny_lm.folder(tmp_path / "model")
    yield resolve(
        model=str(folder),
        dataset="arc-easy:samples=3",
        techniques=[Choice(name="bf16")],
        backend=Choice(name="torch", params={"threads": 1}),
    )


def said(inquiry: Inquiry) -> tuple[bool, list[Reply]]:
    replies: list[Reply] = []
    return answer(inquiry, replies.append), replies


def test_both_sides_answer_token_by_token(spec: ExperimentSpec) -> None:
    done, replies = said(Inquiry(spec=spec, prompt="Question: Which animal", new_tokens=6, raw=True))
    assert done
    assert [reply.side for reply in replies if reply.ended] == ["baseline", "variant"]
    for side in asking.SIDES:
        lines = [reply for reply in replies if reply.side == side]
        assert len(lines) > 1
        assert [line.tokens for line in lines] == sorted(line.tokens for line in lines)
        assert [line.seconds for line in lines] == sorted(line.seconds for line in lines)
        assert lines[-1].tokens <= 6
        assert lines[-1].tokens_per_s


def test_a_model_without_a_chat_template_says_so(spec: ExperimentSpec) -> None:
    done, replies = said(Inquiry(spec=spec, prompt="Hello"))
    assert not done
    assert [reply.ended for reply in replies] == [True]
    assert "has no chat template" in (replies[0].error or "")


def test_a_template_is_rendered_in_a_sandbox(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    assert chat(tmp_path, "Hello") == "<user>Hello<answer>"
    (tmp_path / "chat_template.jinja").write_text("{{ messages.__class__.__mro__ }}")
    with pytest.raises(DataError, match="cannot be used"):
        chat(tmp_path, "Hello")
    (tmp_path / "chat_template.jinja").write_text("{% for %}")
    with pytest.raises(DataError, match="cannot be used"):
        chat(tmp_path, "Hello")


def test_ends_of_text_are_read_from_either_configuration(tmp_path: Path) -> None:
    assert end_tokens(tmp_path) == frozenset()
    (tmp_path / "config.json").write_text('{"eos_token_id": 2}')
    assert end_tokens(tmp_path) == {2}
    (tmp_path / "genai_config.json").write_text('{"model": {"eos_token_id": [2, 7]}}')
    assert end_tokens(tmp_path) == {2, 7}


def test_text_goes_there_and_back(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny_lm.folder(tmp_path))
    for text in ("Which animal?", "  two blanks", "ä ö ü €"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_worker_that_ends_early_is_told(spec: ExperimentSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MeasurementError, match="ended early"):
        list(asking.ask(Inquiry(spec=spec, prompt="Hello")))


@pytest.mark.timeout(120)
def test_a_real_worker_streams_lines(spec: ExperimentSpec) -> None:
    replies = list(asking.ask(Inquiry(spec=spec, prompt="Question: Which", new_tokens=4, raw=True)))
    assert [reply.side for reply in replies if reply.ended] == ["baseline", "variant"]
