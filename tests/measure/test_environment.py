"""The place of a measurement: an id that stays, and nothing that names a person."""

import getpass
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.measure import environment
from engine.measure.environment import describe, isa_flags, machine_id, source_revision, usable_cores


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of its own, and no memory of the last id before or after."""
    folder = tmp_path / "state"
    monkeypatch.setenv("SUBSECOND_STATE", str(folder))
    machine_id.cache_clear()
    yield folder
    machine_id.cache_clear()


def test_the_id_is_random_kept_and_found_again(state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = machine_id()
    assert re.fullmatch(r"[0-9a-f]{12}", first)
    assert (state / "machine-id").read_text() == first
    machine_id.cache_clear()
    assert machine_id() == first
    monkeypatch.setenv("SUBSECOND_STATE", str(tmp_path / "other"))
    machine_id.cache_clear()
    assert machine_id() != first


def test_of_two_first_runs_at_once_the_first_file_counts(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_was_first(_: int) -> str:
        state.mkdir()
        (state / "machine-id").write_text("0123456789ab")
        return "ffffffffffff"

    monkeypatch.setattr(environment.secrets, "token_hex", other_was_first)
    assert machine_id() == "0123456789ab"


def test_where_the_id_cannot_be_kept_one_follows_from_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SUBSECOND_STATE", str(tmp_path / "file" / "state"))
    ids = set()
    for _ in range(2):
        machine_id.cache_clear()
        ids.add(machine_id())
    assert len(ids) == 1
    assert re.fullmatch(r"[0-9a-f]{12}", ids.pop())


def test_nobody_is_named() -> None:
    text = describe(provider="PyTorch eager on cpu").model_dump_json().lower()
    names = {getpass.getuser(), socket.gethostname(), str(Path.home()), str(Path.cwd()), Path.cwd().name}
    # A user called "root" or a folder called "main" may be part of an innocent word; whole words are looked for.
    assert not [name for name in names if re.search(rf"(?<![\w]){re.escape(name.lower())}(?![\w])", text)]
    assert "/" not in re.sub(r'"versions":\{[^}]*\}', "", text)


def test_the_machine_is_described() -> None:
    here = describe()
    assert here.cores == psutil.cpu_count()
    assert here.memory_bytes == psutil.virtual_memory().total
    assert here.cpu_model
    assert {"torch", "onnxruntime", "numpy"} <= here.versions.keys()
    assert here.provider is None
    assert here.affinity is not None
    assert usable_cores() == len(here.affinity)


def test_flags_are_those_of_the_processor_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cpu_info", lambda: {"flags": "fpu avx2 avx512_vnni avx512f-not"})
    assert isa_flags() == ("avx2", "avx512_vnni")
    monkeypatch.setattr(environment, "cpu_info", lambda: {"Features": "fp asimd i8mm"})
    assert isa_flags() == ("asimd", "i8mm")
    monkeypatch.setattr(environment, "cpu_info", dict)
    assert isa_flags() == ()


@pytest.mark.parametrize(
    ("text", "expected"), [("1048576", 1 << 20), ("max", None), (str(1 << 60), None), (None, None)]
)
def test_a_container_s_limit_counts_only_if_it_is_one(
    text: str | None, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_read", lambda _: text)
    assert describe().memory_limit_bytes == expected


def test_the_revision_follows_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revisions = []
    monkeypatch.setattr(environment.resources, "files", lambda _: tmp_path)
    for text in ("a = 1", "a = 2", "a = 1"):
        (tmp_path / "module.py").write_text(text)
        source_revision.cache_clear()
        revisions.append(source_revision())
    source_revision.cache_clear()
    assert revisions[0] == revisions[2] != revisions[1]
    assert re.fullmatch(r"[0-9a-f]{12}", revisions[0])
