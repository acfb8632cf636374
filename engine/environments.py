"""Environments of their own for runtimes whose pins conflict with ours; ``subsecond backend install NAME`` makes them.

Such an environment lies over ours: it holds what has to be of another version, and sees all else beneath it, so that
PyTorch is not installed twice. Whatever probes, exports or runs its backend is a process of its Python.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import engine
from engine.errors import UnavailableError
from engine.paths import cache_folder
from engine.stages import StageCache

_BENEATH = "beneath.pth"
_KEPT_CHARACTERS = 600


@dataclass(frozen=True)
class OwnEnvironment:
    """The environment of one backend; it need not be there yet.

    Args:
        name: that of the backend.
        requirements: what it holds, pinned as pip takes it. Another list is another environment.
    """

    name: str
    requirements: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it lies when it is made; a folder that can be seen is whole."""
        return _root() / self._key

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def is_made(self) -> bool:
        """Whether it can be used."""
        return StageCache(_root()).find(self._key) is not None

    @property
    def is_here(self) -> bool:
        """Whether this very process runs in it."""
        return Path(sys.prefix).resolve() == self.folder.resolve()

    def version_of(self, distribution: str) -> str | None:
        """Return the version of what it holds, not of what it sees beneath; ``None`` where it is not made."""
        if not self.is_made:
            return None
        found = distributions(name=distribution, path=[str(path) for path in _packages(self.folder)])
        return next((one.version for one in found), None)

    def make(self, report: Callable[[str], None] = lambda text: None) -> None:
        """Make it, unless it is there; what is interrupted leaves nothing that is ever used.

        Raises:
            UnavailableError: if pip could not install what it has to hold.
        """
        StageCache(_root()).get(self._key, lambda folder: self._fill(folder, report))

    @property
    def _key(self) -> str:
        facts = json.dumps([self.requirements, sys.version, _beneath()])
        return f"{self.name}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"

    def _fill(self, folder: Path, report: Callable[[str], None]) -> None:
        report(f"making an environment for {self.name}")
        self._call([sys.executable, "-m", "venv", str(folder)], folder)
        (packages,) = _packages(folder)
        (packages / _BENEATH).write_text("\n".join(_beneath()) + "\n", "utf-8")
        report(f"installing {', '.join(self.requirements[:2])} and what they need")
        python = folder / self.python.relative_to(self.folder)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
        self._call([*pip, *self.requirements], folder)

    def _call(self, command: list[str], folder: Path) -> None:
        """Carry out one step, in a folder where nothing can stand in for a module of its own."""
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [line.strip() for line in done.stderr.splitlines() if line.startswith("ERROR")]
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()  # venv complains on standard output
            told = " ".join(errors or said[:1]) or f"exit code {done.returncode}"
            raise UnavailableError(
                f"The environment of {self.name} could not be made: {told[:_KEPT_CHARACTERS]} "
                f"Mend that, then: subsecond backend install {self.name}"
            )


def process_environment() -> dict[str, str]:
    """Return our environment variables, and with them the place from which any interpreter imports this program."""
    root = str(Path(engine.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}


def _root() -> Path:
    return cache_folder() / "environments"


def _beneath() -> list[str]:
    """Return the folders of our packages; the same list whether it is asked from above or from here."""
    found = [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    return [str(path) for path in found if not path.resolve().is_relative_to(_root().resolve())]


def _packages(folder: Path) -> list[Path]:
    """Return the folder that an environment's own packages lie in."""
    return sorted([*folder.glob("lib/python3*/site-packages"), *folder.glob("Lib/site-packages")])
