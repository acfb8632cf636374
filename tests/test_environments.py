"""Environments of their own: whole or not there, over ours, found again by those who need them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import environments
from engine.environments import OwnEnvironment, process_environment
from engine.errors import UnavailableError
from tests.wheels import write_wheel


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEnvironment]:
    """An environment that holds one package of its own and another NumPy than ours."""
    folder = tmp_path_factory.mktemp("home")
    own = write_wheel(folder, "madeup", {"madeup.py": "ANSWER = 42\n"})
    other = write_wheel(folder, "numpy", {"numpy.py": "__version__ = 'another'\n"}, version="99.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBSECOND_CACHE", str(folder / "cache"))
        environment = OwnEnvironment("made-up", (str(own), str(other)))
        assert not environment.is_made
        assert environment.version_of("madeup") is None
        left_over = environment.folder.parent / f".{environment.folder.name}-killed"
        left_over.mkdir(parents=True)
        environment.make()
        assert not left_over.exists(), "what a killed installation left is swept up by the next one"
        yield environment


def said_by(environment: OwnEnvironment, program: str) -> str:
    command = [str(environment.python), "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=process_environment())
    return done.stdout.strip()


def test_it_holds_what_was_asked_and_sees_ours_beneath(made: OwnEnvironment) -> None:
    assert made.is_made
    assert made.version_of("madeup") == "1.0"
    assert made.version_of("pydantic") is None, "that is ours"
    assert said_by(made, "import madeup, numpy; print(madeup.ANSWER, numpy.__version__)") == "42 another"
    assert np.__version__ != "another"
    ours = said_by(made, "import pydantic, sys; print(pydantic.VERSION)")
    assert ours == said_by_us("import pydantic; print(pydantic.VERSION)")


def said_by_us(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_its_own_processes_know_where_they_are(made: OwnEnvironment) -> None:
    program = (
        "from engine.environments import OwnEnvironment\n"
        f"one = OwnEnvironment({made.name!r}, {made.requirements!r})\n"
        "print(one.is_here, one.is_made, one.version_of('madeup'))"
    )
    assert said_by(made, program) == "True True 1.0"
    assert not made.is_here


def test_making_it_again_does_nothing(made: OwnEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(environments.subprocess, "run", refuse)
    made.make()


def test_other_requirements_are_another_environment(made: OwnEnvironment) -> None:
    other = OwnEnvironment(made.name, (*made.requirements, "more==1"))
    assert other.folder != made.folder
    assert not other.is_made


def test_what_cannot_be_installed_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path))
    environment = OwnEnvironment("made-up", ("madeup==1.0",))

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if "venv" in command:
            (Path(command[-1]) / "lib" / "python3.99" / "site-packages").mkdir(parents=True)
            return subprocess.CompletedProcess(command, 0, "", "")
        return subprocess.CompletedProcess(command, 1, "", "WARNING: slow\nERROR: No matching distribution\n")

    monkeypatch.setattr(environments.subprocess, "run", run)
    with pytest.raises(UnavailableError, match=r"No matching distribution.*subsecond backend install made-up"):
        environment.make()
    assert not environment.is_made
    assert not environment.folder.exists()
    assert [path.suffix for path in environment.folder.parent.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("printed", "said"), [("ensurepip is not available.\nInstall python3-venv.\n", "ensurepip"), ("", "exit code 9")]
)
def test_a_python_that_makes_no_environments_says_so(
    printed: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path))
    refused = subprocess.CompletedProcess([], 9, printed, "")
    monkeypatch.setattr(environments.subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(UnavailableError, match=f"could not be made: {said}"):
        OwnEnvironment("made-up", ("madeup==1.0",)).make()


def test_an_interrupted_installation_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path))
    environment = OwnEnvironment("made-up", ("madeup==1.0",))

    def interrupted(command: list[str], **options: Any) -> None:
        (Path(options["cwd"]) / "bin").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(environments.subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        environment.make()
    assert not environment.is_made
    assert not environment.folder.exists()
