"""One mock server and one browser for the dashboard tests; skipped, with the reason, where no browser or playwright is installed."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--in-process-gpu",
]
BUSY_MS = 30_000
"""How long to wait for what must happen: it decides nothing but how late a test fails on a busy machine."""
WATCH_POLICY = """
window.__violations = [];
addEventListener("securitypolicyviolation", (event) => __violations.push(event.violatedDirective + " " + event.blockedURI));
"""


def find_browser() -> str | None:
    return os.environ.get("OMNI_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


class Mock:
    """The mock admin server as a test sees it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def tell(self, what: str, **body: Any) -> Any:
        return self.send(f"/mock/{what}", body)

    def calls(self, method: str) -> list[Any]:
        return [call for call in self.tell("calls")["calls"] if call["method"] == method]

    def send(self, path: str, body: Any, **headers: str) -> Any:
        return send(self.url, path, body, **headers)


def send(url: str, path: str, body: Any, **headers: str) -> Any:
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.fixture(scope="session")
def mock() -> Iterator[Mock]:
    with subprocess.Popen([sys.executable, str(HERE / "mock_admin.py")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Mock(process.stdout.readline().strip())
        finally:
            process.terminate()


@pytest.fixture
def product(tmp_path: Path) -> Iterator[str]:
    """The address of the real server, started as a user starts it, on an empty home."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OMNI_")} | {"OMNI_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "omni_connector", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            said = ""
            for line in process.stdout:
                said += line
                if found := re.search(r"http://localhost:\d+$", line.strip()):
                    break
            else:
                pytest.fail(f"the server ended before it was ready: {said}")
            yield found.group()
        finally:
            process.terminate()


class Chromium:
    """One browser for the folder, and contexts that the next test takes over: a new one has to fetch and compile every file again, which is
    half of what opening a page costs. Nothing that a test could notice stays in it."""

    def __init__(self) -> None:
        self._playwright: Any = None
        self._browser: Any = None
        self._free: dict[str, list[Any]] = {}

    def browser(self) -> Any:
        if self._browser is None:
            api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'omni-connector[test]'")
            path = find_browser()
            if not path:
                pytest.skip("no Chromium found (Debian: apt install chromium; or set OMNI_CHROMIUM)")
            api.expect.set_options(timeout=BUSY_MS)
            self._playwright = api.sync_playwright().start()
            self._browser = self._playwright.chromium.launch(executable_path=path, args=ARGS)
        return self._browser

    def context(self, options: dict[str, Any]) -> Any:
        free = self._free.setdefault(repr(options), [])
        if free:
            return free.pop()
        made = self.browser().new_context(permissions=["clipboard-read", "clipboard-write"], reduced_motion="reduce", **options)
        made.set_default_timeout(BUSY_MS)
        made.add_init_script(WATCH_POLICY)
        return made

    def done(self, context: Any, page: Any, options: dict[str, Any]) -> None:
        try:
            # A clock that a test has installed goes with its context.
            reusable = len(context.pages) == 1 and page.evaluate("localStorage.clear(), !('__pwClock' in window)")
            page.close()
            context.clear_cookies()
        except Exception:  # It left the page, or closed it.
            reusable = False
        if reusable:
            self._free[repr(options)].append(context)
        else:
            context.close()

    def close(self) -> None:
        if self._browser is not None:
            self._browser.close()
            self._playwright.stop()
        self.__init__()  # type: ignore[misc]


CHROMIUM = Chromium()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    """A browser that is driven from this thread keeps an event loop there: nothing asynchronous could run beside it."""
    try:
        return (yield)
    finally:
        stays = nextitem is not None and nextitem.path.parent == HERE and not inspect.iscoroutinefunction(getattr(nextitem, "obj", None))
        if not stays:
            CHROMIUM.close()


def pytest_sessionfinish() -> None:
    CHROMIUM.close()


@pytest.fixture
def browser() -> Any:
    return CHROMIUM.browser()


@pytest.fixture
def open_page(mock: Mock) -> Iterator[Any]:
    """`open_page(scenario, path)` → a page of the mock (or of `url`). No console error, no policy violation, no foreign request."""
    faults: list[str] = []
    opened: list[tuple[Any, Any, dict[str, Any]]] = []

    def open_one(scenario: str, path: str = "", *, url: str = "", errors_expected: bool = False, **options: Any) -> Any:
        if not url:
            mock.tell("scenario", name=scenario)
        base = url or mock.url
        context = CHROMIUM.context(options)
        page = context.new_page()
        opened.append((context, page, options))
        page.on("pageerror", lambda error: faults.append(f"page error: {error}"))
        page.on(
            "console", lambda m: faults.append(f"console: {m.text}") if m.type in ("error", "warning") and not errors_expected else None
        )
        page.on("request", lambda r: None if r.url.startswith((base, "data:")) else faults.append(f"left the origin: {r.url}"))
        page.goto(f"{base}/#/{path}")
        return page

    yield open_one
    for context, page, options in opened:
        faults += [f"policy: {item}" for item in page.evaluate("window.__violations")]
        CHROMIUM.done(context, page, options)
    assert faults == []


def stand_still(page: Any) -> None:
    """Stops the clock of the page, a minute ahead of now: then only a test makes its time go on."""
    if not page.evaluate("'__pwClock' in window"):
        page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 60"))


def until(page: Any, holds: Callable[[], Any]) -> None:
    """Waits until what the page or the mock is asked holds: what is sent, and what comes of it, takes its time."""
    end = time.monotonic() + BUSY_MS / 1000
    while not holds():
        assert time.monotonic() < end, "it never happened"
        page.wait_for_timeout(10)


def copied(page: Any, part: str) -> str:
    """What is in the clipboard, as soon as `part` is in it: writing it takes its time."""
    texts: list[str] = []
    until(page, lambda: texts.append(page.evaluate("navigator.clipboard.readText()")) or part in texts[-1])
    return texts[-1]


PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
CLIPPED = "[...document.querySelectorAll('.sheet')].filter((s) => s.scrollWidth > s.clientWidth).map((s) => s.innerText.slice(0, 80))"
FITS = f"""{PAINTED}.then(() => [
  ...(document.documentElement.scrollWidth > innerWidth ? ["it scrolls sideways"] : []),
  ...({CLIPPED}).map((text) => "a table is cut: " + text),
])"""
"""What does not fit into the window as it is now, once that is painted."""


@pytest.fixture
def shoot() -> Any:
    """`shoot(page, name)`: what is shown, in a hand and at a desk; nothing is cut and nothing scrolls sideways. Both themes where the
    pictures are kept (DASHBOARD_SHOTS)."""
    shots = Path(os.environ["DASHBOARD_SHOTS"]) if "DASHBOARD_SHOTS" in os.environ else None
    themes = ("dark", "light") if shots else ("dark",)

    def all_of_it(page: Any, name: str) -> None:
        for width in (360, 700, 1280):
            for theme in themes:
                page.emulate_media(color_scheme=theme)
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate(FITS) == [], f"{name} at {width} px"
                if shots:
                    page.screenshot(path=shots / f"{name}-{width}-{theme}.png")

    return all_of_it
