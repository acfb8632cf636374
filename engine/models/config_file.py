"""Reading a foreign ``config.json`` before anything is built from it: it may hold anything."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.errors import InvalidValueError, WeightsError
from engine.quiet import quiet_libraries

CONFIG_FILE = "config.json"
_LONGEST_BYTES = 1 << 20


def read_config_file(folder: Path) -> dict[str, Any]:
    """Return the configuration in a folder.

    Raises:
        InvalidValueError: if it is no JSON object of a reasonable size.
    """
    path = folder / CONFIG_FILE
    try:
        if path.stat().st_size > _LONGEST_BYTES:
            raise InvalidValueError(f"The configuration in '{folder.name}' is larger than 1 MiB; that is none.")
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        told = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InvalidValueError(
            f"The configuration in '{folder.name}' cannot be read ({told}). Save or fetch the model again."
        ) from error
    if not isinstance(config, dict):
        raise InvalidValueError(f"The configuration in '{folder.name}' is no JSON object. Fetch the model again.")
    return config


def count(config: dict[str, Any], *names: str) -> int | None:
    """Return the first of these entries that is there; ``None`` if none is.

    Raises:
        InvalidValueError: if it is no positive number.
    """
    for name in names:
        value = config.get(name)
        if value is not None:
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidValueError(
                    f"The model's configuration says {name}={str(value)[:40]!r}, which is no count."
                )
            return value
    return None


def counts(config: dict[str, Any], names: Iterable[str]) -> tuple[int, ...]:
    """Return those of these entries that are there.

    Raises:
        InvalidValueError: if one is no positive number.
    """
    found = (count(config, name) for name in names)
    return tuple(value for value in found if value is not None)


def read_model_config(folder: Path) -> Any:
    """Return the configuration as transformers reads it, without running code from the folder.

    Raises:
        WeightsError: if it cannot be read.
        InvalidValueError: as :func:`read_config_file`.
    """
    read_config_file(folder)
    quiet_libraries()
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # what a configuration of the wrong types leads to depends on the architecture
        raise WeightsError(
            f"The configuration in '{folder.name}' cannot be read ({error}). Fetch the model again."
        ) from error
