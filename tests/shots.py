"""Pictures of every view, in both themes and at three widths, to be looked at: `python -m tests.shots DIR [SCENARIO]`.

They show the mock admin side (tests/dashboard/mock_admin.py): "mixed" where no other scenario is named.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.dashboard.conftest import ARGS, BROWSERS, PAINTED, find_browser
from tests.dashboard.test_loading import VIEWS

WIDTHS = (360, 1280, 1920)
THEMES = ("light", "dark")
SETTLED = "!document.querySelector('main .skeleton') && !!document.querySelector('main h1')"


def shoot(browser: Any, url: str, folder: Path) -> int:
    """One picture a view, theme and width. Returns how many."""
    taken = 0
    for theme in THEMES:
        for width in WIDTHS:
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce")
            page = context.new_page()
            for view in VIEWS:
                page.goto(f"{url}/#/{view}")
                page.wait_for_function(f"() => {SETTLED}")
                page.wait_for_load_state("networkidle") if view == "usage" else page.evaluate(PAINTED)
                page.screenshot(path=folder / f"{view}-{width}-{theme}.png")
                taken += 1
            context.close()
    return taken


def main(folder: Path, scenario: str = "mixed") -> int:
    from playwright.sync_api import sync_playwright

    path = find_browser()
    if path is None:
        print(f"No browser found: one of {', '.join(BROWSERS)}, or OMNI_CHROMIUM.", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    mock = Path(__file__).parent / "dashboard" / "mock_admin.py"
    with subprocess.Popen([sys.executable, str(mock), "--scenario", scenario], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=path, args=ARGS)
                taken = shoot(browser, process.stdout.readline().strip(), folder)
                browser.close()
        finally:
            process.terminate()
    print(f"{taken} pictures in {folder}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m tests.shots DIR [SCENARIO]")
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3]))
