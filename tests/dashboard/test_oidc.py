"""Logins at an identity provider: what a page shows to whom, and the whole way in a real browser."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dashboard.state import DATABASE_VARIABLE
from engine.entrance import LOGIN_LASTS_S, OIDC_VARIABLE
from engine.store.audit import FILE
from engine.store.store import Store
from tests.conftest import believe_what_is_installed
from tests.dashboard.conftest import PAGE_SECONDS, ROOT, OpenPage, Screen, words
from tests.dashboard.test_accessibility import faults

NEEDED = "authlib"


@pytest.fixture
def logins(tmp_path: Path) -> Callable[..., Path]:
    """Write a login file for a provider: ``logins(metadata_url, client_secret)``."""

    def write(url: str = "https://id.example.org/x", client_secret: str = "secret of the client") -> Path:
        path = tmp_path / "logins.toml"
        path.touch(0o600)
        path.write_text(
            f"""
            [auth]
            redirect_uri = "http://localhost:{{port}}/oauth2callback"
            cookie_secret = "{secrets.token_hex(32)}"
            client_id = "subsecond"
            client_secret = "{client_secret}"
            server_metadata_url = "{url}"
            [roles]
            "ada@example.org" = "runner"
            "@example.org" = "viewer"
            """
        )
        return path

    return write


@pytest.fixture
def open_as(
    logins: Callable[..., Path], filled_path: Path, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Screen]:
    """Open a run's page as somebody whom the provider describes so."""
    monkeypatch.setenv(OIDC_VARIABLE, str(logins()))

    def open_one(**claims: Any) -> Screen:
        app = open_page(filled_path, "run", run="11")
        app.user = {"is_logged_in": True, "iat": int(time.time()), "email_verified": True, **claims}
        return app.run()

    return open_one


def labels(app: Screen) -> set[str]:
    return {button.label for button in app.button}


def test_nothing_is_shown_before_a_login(open_as: Callable[..., Screen]) -> None:
    for claims in ({"is_logged_in": False}, {"email": "ada@example.org", "iat": int(time.time() - LOGIN_LASTS_S)}):
        app = open_as(**claims)
        assert "Who are you?" in words(app)
        assert labels(app) == {"Sign in"}
        assert not app.metric


def test_a_stranger_reads_a_sentence(open_as: Callable[..., Screen], filled: Store) -> None:
    app = open_as(email="eve@example.com")
    assert "You are not on the list" in words(app)
    assert [text.value for text in app.text] == ["eve@example.com"]
    assert [(entry["who"], entry["did"]) for entry in filled.audit()] == [("eve@example.com", "turned_away")]
    assert labels(app) == {"Sign out"}
    assert not app.metric


@pytest.mark.parametrize("verified", [False, None, "no"])
def test_an_address_that_nobody_confirmed_is_none(open_as: Callable[..., Screen], verified: object) -> None:
    app = open_as(email="ada@example.org", email_verified=verified)
    assert "has not confirmed your e-mail address" in words(app)
    assert labels(app) == {"Sign out"}
    assert not app.metric


def test_a_viewer_sees_everything_and_changes_nothing(open_as: Callable[..., Screen]) -> None:
    app = open_as(email="bob@example.org")
    assert {metric.label for metric in app.metric} >= {"Speed-up", "Accuracy"}
    (save,) = (button for button in app.button if button.label == "Save")
    assert "You look on as a viewer" in words(save.click().run())


def test_what_a_runner_does_is_noted_with_the_address(
    open_as: Callable[..., Screen], filled: Store, filled_path: Path
) -> None:
    app = open_as(email="Ada@Example.org")
    assert "Sign out" in labels(app)
    (save,) = (button for button in app.button if button.label == "Save")
    app = save.click().run()
    assert "You look on as a viewer" not in words(app)
    done = [entry["did"] for entry in filled.audit() if entry["who"] == "ada@example.org"]
    assert sorted(done) == ["set_tags", "signed_in", "write_note"]


def test_a_file_that_others_can_read_lets_nobody_in(open_as: Callable[..., Screen]) -> None:
    Path(os.environ[OIDC_VARIABLE]).chmod(0o644)
    app = open_as(email="ada@example.org")
    assert "chmod 600" in words(app)
    assert not app.metric


@pytest.fixture
def provider() -> Iterator[Any]:
    """An identity provider on this machine."""
    pytest.importorskip(NEEDED, reason="logins need Authlib: pip install '.[oidc]'")
    from tests.dashboard.identity import IdentityProvider  # its signatures are Authlib's

    started = IdentityProvider()
    yield started
    started.stop()


class Served:
    """``subsecond serve --oidc FILE``; everything it says is kept.

    Args:
        database: what it shows.
        file: of the logins.
        said: where its output goes.
    """

    def __init__(self, database: Path, file: Path, said: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = str(probe.getsockname()[1])
        self.address, self.database, self.file, self._said = f"http://localhost:{port}", database, file, said
        own = {name: str(database.parent / name.lower()) for name in ("SUBSECOND_CACHE", "SUBSECOND_STATE")}
        believe_what_is_installed(Path(own["SUBSECOND_CACHE"]))
        with said.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engine", "serve", "--host", "localhost", "--port", port, "--oidc", str(file)],
                cwd=ROOT,
                env={**os.environ, **own, DATABASE_VARIABLE: str(database), "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + PAGE_SECONDS
        while b"Subsecond is at" not in said.read_bytes():
            assert self._process.poll() is None, said.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop(self) -> str:
        """End it and return what it said."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._process.wait(PAGE_SECONDS)
        return self._said.read_text()


@pytest.fixture
def served(provider: Any, logins: Callable[..., Path], filled_path: Path, tmp_path: Path) -> Iterator[Served]:
    """The whole product behind logins at the provider."""
    file = logins(f"{provider.issuer}/.well-known/openid-configuration", provider.client_secret)
    started = Served(filled_path, file, tmp_path / "said.txt")
    yield started
    started.stop()


@pytest.mark.browser
def test_people_log_in_work_and_leave(provider: Any, served: Served, filled: Store, browser_page: Page) -> None:
    provider.claims = {"email": "eve@example.com", "email_verified": True}
    browser_page.goto(f"{served.address}/system")
    expect(browser_page.get_by_role("button", name="Sign in")).to_be_visible()
    assert faults(browser_page) == []
    browser_page.get_by_role("button", name="Sign in").click()
    expect(browser_page.get_by_text("You are not on the list")).to_be_visible()
    assert faults(browser_page) == []
    expect(browser_page.get_by_text("eve@example.com")).to_be_visible()
    provider.claims = {"email": "ada@example.org", "email_verified": True, "name": "Ada"}
    browser_page.get_by_role("button", name="Sign out").click()
    browser_page.get_by_role("button", name="Sign in").click()
    expect(browser_page.get_by_role("heading", name="What speed can I buy")).to_be_visible()  # where logins come back
    browser_page.get_by_role("link", name="System").first.click()
    browser_page.get_by_role("button", name="Pause the engine").click()
    expect(browser_page.get_by_role("button", name="Let the engine go on")).to_be_visible()
    assert filled.control().who == "ada@example.org"
    shown = browser_page.content()
    browser_page.get_by_role("button", name="Sign out").click()
    expect(browser_page.get_by_role("button", name="Sign in")).to_be_visible()
    assert provider.refused == 0
    noted = (filled.runs_folder / FILE).read_text()
    assert "ada@example.org" in noted
    said = served.stop()
    kept = b"".join(path.read_bytes() for path in served.database.parent.glob(f"{served.database.name}*"))
    for secret in (provider.client_secret, tomllib.loads(served.file.read_text())["auth"]["cookie_secret"]):
        assert secret not in said + noted + shown
        assert secret.encode() not in kept
