"""Trying a runtime: what it says when it works, fails, crashes or hangs."""

import json
import sys
from typing import Any

import pytest

from engine import probe as probing
from engine.backends import BACKENDS
from engine.probe import probe


def saying(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def test_a_runtime_that_works_says_what_answered() -> None:
    found = probe("onnxruntime")
    assert found.available
    assert found.version == BACKENDS.get("onnxruntime").capabilities().version
    assert found.devices == found.choices["device"] == ("cpu",)
    assert "cpu" in found.choices["provider"]


def test_chatter_before_the_answer_is_passed_over() -> None:
    answer = json.dumps({"backend": "torch", "available": True})
    assert probe("torch", command=saying(f"print('hello'); print({answer!r})")).available


def test_a_crash_is_a_reason() -> None:
    found = probe("torch", command=saying("import os; os.kill(os.getpid(), 11)"))
    assert not found.available
    assert found.reason == "PyTorch eager crashed when it was tried: exit code -11"


def test_what_it_said_last_is_the_reason() -> None:
    found = probe("torch", command=saying("raise OSError('libcuda.so.1: cannot open')"))
    assert found.reason == "PyTorch eager crashed when it was tried: OSError: libcuda.so.1: cannot open"


def test_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "TIMEOUT_S", 0.01)
    found = probe("torch", command=saying("import time; time.sleep(60)"))
    assert "did not answer" in found.reason


def test_whatever_a_runtime_raises_is_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(self: Any) -> dict[str, tuple[str, ...]]:
        raise ImportError("libfancy.so is too old " * 100)

    monkeypatch.setattr(type(BACKENDS.get("onnxruntime")), "try_options", broken)
    probing.main("onnxruntime")
    told = json.loads(capsys.readouterr().out)
    assert not told["available"]
    assert told["reason"].startswith("ONNX Runtime is installed but does not run: ImportError: libfancy.so is too old")
    assert len(told["reason"]) == probing.KEPT_CHARACTERS
    assert told["devices"] == []
