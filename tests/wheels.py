"""Wheels so small that pip installs them in a moment, made here so that nothing is fetched."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile


def write_wheel(folder: Path, name: str, files: Mapping[str, str], version: str = "1.0") -> Path:
    """Write a wheel that puts ``files`` beside the packages of whoever installs it."""
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    about = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content = {**files, **about}
    with ZipFile(path, "w") as wheel:
        for place, text in content.items():
            wheel.writestr(place, text)
        record = [*content, f"{info}/RECORD"]
        wheel.writestr(f"{info}/RECORD", "".join(f"{place},,\n" for place in record))
    return path
