"""``subsecond backend install``: the environment is made and its runtime tried, or a sentence says why not."""

import pytest

from engine import cli, keeping
from engine.environments import OwnEnvironment
from engine.errors import UnavailableError
from engine.results import Capability


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([*arguments])
    return int(end.value.code or 0)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the environments that were made, without making them."""
    names: list[str] = []
    monkeypatch.setattr(OwnEnvironment, "make", lambda self, report: names.append(self.name))
    return names


def test_it_is_made_and_tried(
    made: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keeping, "probe", lambda name: Capability(backend=name, available=True, version="1.2"))
    assert ended("backend", "install", "litert") == 0
    assert made == ["litert"]
    assert "litert: LiteRT 1.2 answers here" in capsys.readouterr().out


def test_a_runtime_that_does_not_answer_afterwards_is_said(
    made: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Capability(backend="litert", available=False, reason="LiteRT crashed when it was tried: no AVX")
    monkeypatch.setattr(keeping, "probe", lambda name: broken)
    assert ended("backend", "install", "litert") == cli.EXIT_REFUSED
    assert "LiteRT crashed when it was tried: no AVX" in " ".join(capsys.readouterr().err.split())


def test_pip_has_the_last_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*_: object) -> None:
        raise UnavailableError("The environment of litert could not be made: no space left.")

    monkeypatch.setattr(OwnEnvironment, "make", refuse)
    assert ended("backend", "install", "litert") == cli.EXIT_REFUSED
    assert "no space left" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("name", "said"),
    [("torch", "PyTorch eager needs no environment of its own"), ("litret", "Did you mean 'litert'?")],
)
def test_what_needs_none_is_refused(name: str, said: str, made: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("backend", "install", name) == cli.EXIT_REFUSED
    assert said in " ".join(capsys.readouterr().err.split())
    assert made == []
