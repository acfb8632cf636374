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


def test_bytes_below_a_folder_are_counted_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "one").write_bytes(b"x" * 10)
    (tmp_path / "below" / "two").write_bytes(b"x" * 5)
    assert paths.folder_bytes(tmp_path) == 15
    target = tmp_path.parent / "large"
    target.write_bytes(b"x" * 10_000)
    (tmp_path / "link").symlink_to(target)
    assert paths.folder_bytes(tmp_path) < 1000
    assert paths.folder_bytes(tmp_path / "missing") == 0
