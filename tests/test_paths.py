"""Where things lie on disk."""

from pathlib import Path

import pytest

from engine import paths

FOLDERS = [(paths.cache_folder, "SUBSECOND_CACHE"), (paths.state_folder, "SUBSECOND_STATE")]


@pytest.mark.parametrize(("folder", "variable"), FOLDERS)
def test_a_variable_moves_a_folder(
    folder: "type[Path]", variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path))
    assert folder() == tmp_path


@pytest.mark.parametrize(("folder", "variable"), FOLDERS)
@pytest.mark.parametrize("value", [None, ""])
def test_left_alone_it_is_the_user_s_own(
    folder: "type[Path]", variable: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv(variable, raising=False)
    else:
        monkeypatch.setenv(variable, value)
    assert folder().name == "subsecond"
    assert folder().is_absolute()
