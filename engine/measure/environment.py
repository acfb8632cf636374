"""The place of a measurement: processor, limits, versions; never a user, host or path name."""

import contextlib
import hashlib
import os
import platform
import secrets
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from engine.paths import state_folder
from engine.results import Environment

ISA_OF_INTEREST = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
)
PACKAGES = ("subsecond", "torch", "transformers", "onnx", "onnxruntime", "torchao", "torch-pruning", "numpy")
_ID_FILE = "machine-id"
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def machine_id() -> str:
    """Return the random id of this machine, 12 hexadecimal digits, made at its first run.

    Where the id cannot be kept, one is derived from the processor, so that runs of one boot still belong together.
    """
    path = state_folder() / _ID_FILE
    try:
        return path.read_text("ascii").strip()
    except OSError:
        fresh = secrets.token_hex(6)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="ascii") as file:  # two first runs at once: the file that came first counts
            file.write(fresh)
    except FileExistsError:
        return path.read_text("ascii").strip()
    except OSError:
        return hashlib.sha256(f"{cpu_model()}{psutil.cpu_count()}".encode()).hexdigest()[:12]
    return fresh


@cache
def cpu_info() -> dict[str, str]:
    """Return the first processor's lines of ``/proc/cpuinfo``; empty where there is none."""
    with contextlib.suppress(OSError):
        block = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0]
        pairs = (line.partition(":") for line in block.splitlines())
        return {key.strip(): value.strip() for key, _, value in pairs}
    return {}


def cpu_model() -> str:
    """Return the processor's name as it gives it."""
    return cpu_info().get("model name") or platform.processor() or platform.machine()


def isa_flags() -> tuple[str, ...]:
    """Return those instruction set extensions that decide how fast low precision runs."""
    info = cpu_info()
    present = set((info.get("flags") or info.get("Features") or "").split())
    return tuple(flag for flag in ISA_OF_INTEREST if flag in present)


def affinity() -> tuple[int, ...] | None:
    """Return the cores this process may use; ``None`` where the system does not tell."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else None


def usable_cores() -> int:
    """Return how many cores this process may use."""
    cores = affinity()
    return len(cores) if cores else psutil.cpu_count() or 1


def describe(provider: str | None = None, more: Mapping[str, str] | None = None) -> Environment:
    """Describe this machine now.

    Args:
        provider: what computes, and on which device.
        more: versions of packages that another Python than ours holds.
    """
    return Environment(
        machine=machine_id(),
        cpu_model=cpu_model(),
        isa_flags=isa_flags(),
        cores=psutil.cpu_count() or 1,
        affinity=affinity(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        memory_bytes=psutil.virtual_memory().total,
        memory_limit_bytes=_memory_limit(),
        platform=f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        python=platform.python_version(),
        versions=_versions() | dict(more or {}),
        provider=provider,
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        source_revision=source_revision(),
    )


@cache
def source_revision() -> str:
    """Return a hash of the engine's own source, 12 hexadecimal digits; it needs no git and knows local edits."""
    digest = hashlib.sha256()
    root = Path(str(resources.files("engine")))
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _versions() -> dict[str, str]:
    """Return the versions of what takes part in a measurement."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _memory_limit() -> int | None:
    """Return the container's memory limit, if it has one."""
    for path in _CGROUP_LIMITS:
        text = _read(path)
        if text and text.isdigit() and int(text) < psutil.virtual_memory().total:
            return int(text)
    return None


def _read(path: str) -> str | None:
    """Return a small system file's text."""
    with contextlib.suppress(OSError):
        return Path(path).read_text("ascii").strip()
    return None
