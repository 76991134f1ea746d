"""What the first page brings, and the rest when it is asked for: sizes by the import graph, and switching in a real browser."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

from .conftest import FITS, PAINTED, stand_still, until  # noqa: E402

STATIC = Path(__file__).resolve().parents[2] / "static"
FIRST_LOAD_LIMIT = 90_000
VIEWS = [
    *("overview", "activity", "playground", "accounts", "providers", "models", "quota", "keys", "clients", "routing"),
    *("usage", "limits", "prices", "alerts", "jobs", "settings"),
]


def closure(*entries: str) -> set[Path]:
    """What the browser fetches for these modules: their static imports, and those of these."""
    found: set[Path] = set()
    wanted = [STATIC / entry for entry in entries]
    while wanted:
        path = wanted.pop().resolve()
        if path not in found:
            found.add(path)
            wanted += [path.parent / name for name in re.findall(r'(?:from|^import) ?"(\.[^"]+)"', path.read_text(), re.M)]
    return found


def page_files() -> set[Path]:
    named = re.findall(r'(?:src|href)="/static/([^"]+\.(?:js|mjs|css))"', (STATIC / "index.html").read_text())
    return {STATIC / "index.html", STATIC / "vendor/lucide.svg", STATIC / "icons/favicon.svg", *(STATIC / name for name in named)}


def size(files: set[Path]) -> int:
    return sum(len(gzip.compress(path.read_bytes())) for path in files)


@pytest.mark.parametrize("view", VIEWS)
def test_first_load_is_small(view: str) -> None:
    """Whichever view the address names: the shell, that view, and what they import."""
    assert size(page_files() | closure("app.js", f"views/{view}.js")) < FIRST_LOAD_LIMIT


def test_the_shell_holds_no_view_and_announces_what_it_imports() -> None:
    shell = closure("app.js")
    assert not [path for path in shell if path.parent.name == "views"]
    assert shell == {path for path in page_files() if path.suffix in (".js", ".mjs") and path.name != "theme.js"}


def test_every_view_and_dialog_is_there_when_it_is_asked_for(mock: Any, open_page: Any) -> None:
    """Each file that app.js names exists, and exports the names that app.js asks it for."""
    text = (STATIC / "app.js").read_text()
    files = dict(re.findall(r'(\w+) = \(\) => import\("\./(views/\w+\.js)"\)', text))
    asked = re.findall(r'(?:part|lateDialog)\((\w+), "(\w+)"\)', text)
    assert {name for name, _ in asked} == set(files)
    missing = [
        (name, part)
        for name, part in asked
        if not re.search(rf"^export (?:async )?function {part}\b", (STATIC / files[name]).read_text(), re.M)
    ]
    assert missing == []


def test_a_view_is_fetched_once_when_it_is_opened(mock: Any, open_page: Any) -> None:
    page = open_page("busy", "")
    fetched: list[str] = []
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.on("request", lambda request: fetched.append(request.url.rpartition("/static/")[2]) if request.url.endswith("js") else None)
    names = page.evaluate("performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname.slice(8))")
    brought = {STATIC / name for name in names if name.endswith((".js", ".mjs"))}
    assert brought == {path for path in page_files() | closure("app.js", "views/overview.js") if path.suffix in (".js", ".mjs")}
    for _ in range(2):
        page.keyboard.press("g")
        page.keyboard.press("s")
        expect(page.get_by_role("heading", name="Settings")).to_be_visible()
        page.keyboard.press("g")
        page.keyboard.press("o")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert sorted(fetched) == ["views/backup.js", "views/files.js", "views/settings.js", "views/update.js"]
    page.get_by_role("link", name="Routing").hover()  # a pointer on its way
    page.wait_for_function("performance.getEntriesByType('resource').some((entry) => entry.name.endsWith('/views/routing.js'))")


def test_the_view_before_stays_then_a_skeleton_then_the_view(open_page: Any) -> None:
    page = open_page("busy", "accounts")
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    page.route("**/views/keys.js", hold)
    stand_still(page)  # however slow this machine is: the wait is not long yet
    page.evaluate("location.hash = '#/keys'")
    expect(page.get_by_role("link", name="Keys")).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
    until(page, lambda: held)
    page.clock.fast_forward(200)
    expect(page.locator("main .skeleton")).to_be_visible()
    expect(page.get_by_role("heading", name="Accounts")).to_have_count(0)
    held[0].continue_()
    expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()
    expect(page.locator("main .skeleton")).to_have_count(0)


def test_a_view_that_does_not_come_is_told_and_asked_for_again(open_page: Any) -> None:
    page = open_page("busy", "accounts", errors_expected=True)
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
    page.route("**/views/*.js", lambda route: route.abort())
    page.evaluate("location.hash = '#/models'")
    expect(page.get_by_text("This page could not be loaded")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("This page could not be loaded")).to_be_visible()
    page.get_by_role("link", name="Accounts").click()
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()

    page.get_by_role("button", name="Connect account").click()
    expect(page.get_by_text("The server did not hand out this dialog.")).to_be_visible()
    page.unroute("**/views/*.js")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("dialog", name="Connect an account")).to_be_visible()
    page.keyboard.press("Escape")
    page.evaluate("location.hash = '#/models'")
    expect(page.get_by_role("heading", name="Models")).to_be_visible()


def test_every_view_is_under_a_thumb(open_page: Any) -> None:  # C-98
    """At 360 px five places, the others behind "More"; nothing of the words is cut."""
    page = open_page("mixed", "overview", viewport={"width": 360, "height": 740})
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    tabs = page.get_by_role("navigation", name="Main").locator("a:visible, button:visible").locator("> span")
    assert tabs.all_inner_texts() == ["Overview", "Activity", "Accounts", "Keys", "More"]
    assert page.evaluate("[...document.querySelectorAll('.nav span')].every((word) => word.scrollWidth <= word.parentElement.clientWidth)")
    for name in ("Providers", "Models", "Routing", "Alerts", "Settings"):
        page.get_by_role("button", name="More").click()
        page.get_by_role("dialog", name="More").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_role("button", name="More")).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="More").click()
    page.get_by_role("radio", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


WIDTHS = (360, 600, 820, 1000, 1280, 1440, 1920)


def test_what_is_left_can_be_seen_and_asked_for_at_every_width(open_page: Any) -> None:  # P-05, P-30
    page = open_page("mixed", "accounts", viewport={"width": WIDTHS[0], "height": 900})
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(PAINTED)
        expect(page.get_by_role("meter", name="5h quota").first).to_be_visible()
        expect(page.get_by_text("0.12 CNY left")).to_be_visible()
        refresh = page.get_by_role("button", name="Refresh quota of deepseek")
        refresh.scroll_into_view_if_needed()
        expect(refresh).to_be_in_viewport()


def test_no_view_scrolls_sideways_or_cuts_a_table(open_page: Any) -> None:
    """Each is opened at a desk and shown at every width, and opened once more in a hand."""
    page = open_page("mixed", "accounts", viewport={"width": WIDTHS[-1], "height": 900})
    for widths in (WIDTHS, WIDTHS[:1]):
        for view in VIEWS:
            page.evaluate(f"location.hash = '#/{view}'")
            expect(page.locator("main h1")).to_have_text(view.capitalize())
            expect(page.locator(".skeleton")).to_have_count(0)
            for width in widths:
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate(FITS) == [], f"{view} at {width} px"
