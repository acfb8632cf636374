"""Pages without a browser, pages in a real one, and databases that are filled with made-up runs."""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import streamlit as st  # noqa: TID251 - its caches are emptied between tests
from playwright.sync_api import Browser, Page, expect, sync_playwright
from streamlit.testing.v1 import AppTest  # noqa: TID251 - the pages are Streamlit's, so is their test driver

from dashboard import state
from dashboard.state import DATABASE_VARIABLE
from engine.store.store import Store
from tests.conftest import believe_what_is_installed
from tests.dashboard.samples import fill

ROOT = Path(__file__).parents[2]
APP = ROOT / "dashboard" / "app.py"
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PAGE_SECONDS = 30

Screen = AppTest
"""A page as a person would see it, without a browser."""
OpenPage = Callable[..., Screen]


def words(screen: Screen) -> str:
    """Return the text that stands on a page, with Markdown's escapes taken out."""
    parts = (*screen.title, *screen.header, *screen.subheader, *screen.markdown, *screen.caption, *screen.code)
    notes = (*screen.error, *screen.warning, *screen.info, *screen.success)
    return "\n".join(str(element.value) for element in (*parts, *notes)).replace("\\", "")


@pytest.fixture(scope="session")
def filled_template(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the whole made-up sweep, made once."""
    path = Path(shutil.copy(empty_database, tmp_path_factory.mktemp("template") / "filled.db"))
    store = Store(path)
    fill(store)
    store.compact()
    store.close()
    return path


@pytest.fixture
def filled_path(filled_template: Path, tmp_path: Path) -> Path:
    """A filled database for this test alone."""
    return Path(shutil.copy(filled_template, tmp_path / "filled.db"))


@pytest.fixture
def filled(filled_path: Path) -> Iterator[Store]:
    """The filled database, open, with the real clock."""
    store = Store(filled_path)
    yield store
    store.close()


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenPage]:
    """Open a page of the dashboard on a database: ``open_page(path, "runs", run="3")``."""

    def open_one(database: Path | str, page: str = "", **query: str) -> AppTest:
        monkeypatch.setenv(DATABASE_VARIABLE, str(database))
        state._is_alive.clear()  # somebody who comes a second later
        app = AppTest.from_file(APP, default_timeout=PAGE_SECONDS)
        app.run()
        if page:
            app.switch_page(f"app_pages/{page}.py")
        app.query_params.update(query)
        return app.run()

    st.cache_resource.clear()
    yield open_one
    st.cache_resource.clear()


class Server:
    """A server on a free port; its output is read to the end, so that it never waits for a reader.

    Args:
        command: what to start; the port is its last word.
        ready: what it prints once it listens.
        environment: what it gets besides our own variables.
    """

    def __init__(self, command: Sequence[str], ready: str, environment: Mapping[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = str(probe.getsockname()[1])
        self.address = f"http://localhost:{port}"
        self._listens = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command, port],
            cwd=ROOT,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self._reader.start()
        if not self._listens.wait(PAGE_SECONDS):
            self.stop()
            raise RuntimeError("the server did not begin to listen")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=PAGE_SECONDS)
        if self._process.stdin:  # was open until now: the page ends when whoever started it goes
            self._process.stdin.close()
        self._reader.join(PAGE_SECONDS)

    def _read(self, ready: str) -> None:
        with self._process.stdout or io.StringIO() as output:
            for line in output:
                if ready in line:
                    self._listens.set()


@pytest.fixture
def serve_page() -> Iterator[Callable[[Path], str]]:
    """Start the page alone on a database and return its address; it ends with the test."""
    servers: list[Server] = []

    def serve(database: Path) -> str:
        command = ["streamlit", "run", str(APP), "--server.port"]
        servers.append(Server(command, "URL:", {DATABASE_VARIABLE: str(database)}))
        return servers[-1].address

    yield serve
    for server in servers:
        server.stop()


@pytest.fixture
def whole_product(database_path: Path, tmp_path: Path) -> Iterator[str]:
    """The address of engine and page together, as ``subsecond serve`` starts them, with caches of their own."""
    folders = {name: str(tmp_path / name.lower()) for name in ("SUBSECOND_CACHE", "SUBSECOND_STATE")}
    believe_what_is_installed(tmp_path / "subsecond_cache")
    server = Server(
        ["engine", "serve", "--host", "localhost", "--port"],
        "Subsecond is at",
        {DATABASE_VARIABLE: str(database_path), **folders},
    )
    yield server.address
    server.stop()


@pytest.fixture
def live_page(serve_page: Callable[[Path], str], filled_path: Path) -> str:
    """The address of a dashboard on the made-up sweep."""
    return serve_page(filled_path)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium where it is installed, else Playwright's own."""
    expect.set_options(timeout=PAGE_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def browser_page(chromium: Browser) -> Iterator[Page]:
    """A page of 1440 x 900 pixels in a context of its own."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PAGE_SECONDS * 1000)
    yield page
    context.close()
