"""Backends that live in an environment of their own keep the same contracts, tested by that environment's Python."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.backends import BACKENDS
from engine.backends.base import Backend
from engine.environments import process_environment

ROOT = Path(__file__).parents[2]
SUITES = ("tests/contracts/test_backends.py", "tests/contracts/test_techniques.py", "tests/techniques")
OWN = [backend for backend in BACKENDS if backend.requirements and not backend.is_here]


@pytest.mark.e2e
@pytest.mark.parametrize("backend", OWN, ids=lambda backend: backend.name)
def test_it_keeps_the_contracts_where_it_lives(backend: Backend[Any]) -> None:
    found = backend.capabilities()
    if not found.available:
        pytest.skip(found.reason)
    # The plug-ins of our pytest may not fit what the environment holds beside it.
    command = [str(backend.python), "-m", "pytest", "-p", "no:anyio", "-k", backend.name, *SUITES]
    done = subprocess.run(command, cwd=ROOT, env=process_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "passed" in done.stdout


def test_some_backend_lives_in_an_environment_of_its_own() -> None:
    assert OWN, "nothing above is tested"
    for backend in OWN:
        assert all("==" in requirement for requirement in backend.requirements), "pinned, so that it comes out the same"
        assert backend.requirements[0].partition("==")[0] in backend.distributions
