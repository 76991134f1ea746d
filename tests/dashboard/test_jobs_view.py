"""Work in the background: what runs when, how it went, run now, pause."""

from __future__ import annotations

from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

from .conftest import copied  # noqa: E402


def row(page: Any, text: str) -> Any:
    return page.locator("table.jobs tbody tr", has_text=text)


def test_jobs_are_told_run_and_paused(mock: Any, open_page: Any, shoot: Any) -> None:
    page = open_page("busy", "jobs", viewport={"width": 1280, "height": 900})
    expect(page.locator("table.jobs tbody tr")).to_have_count(7)
    expect(page.get_by_text("1 gave up")).to_be_visible()
    expect(page.locator("table.jobs tbody tr").first).to_contain_text("The key may not read usage.")  # what needs somebody is first
    asked = row(page, "Asks the provider what is left")
    expect(asked).to_contain_text("Quota")
    expect(asked).to_contain_text("openai")  # the account's name, not its id
    expect(asked).to_contain_text("Kiro answers 503")
    expect(row(page, "Clean-up")).to_contain_text("in 4 min")
    expect(page.get_by_role("button", name="Run Sign-in renewal (openai) now")).to_be_disabled()
    shoot(page, "jobs")

    page.get_by_role("button", name="Run Clean-up now").click()
    expect(page.get_by_text("Clean-up starts now.")).to_be_visible()
    expect(row(page, "Clean-up")).to_contain_text("Running")
    page.get_by_role("button", name="Pause Cooldowns").click()
    expect(row(page, "Cooldowns")).to_contain_text("Paused")
    page.get_by_role("button", name="Run now", exact=True).click()
    expect(row(page, "Cooldowns")).to_contain_text("Running")
    assert [call["path"] for call in mock.calls("POST")] == ["/api/jobs/job_2/run", "/api/jobs/job_1/cancel", "/api/jobs/job_1/run"]


def test_a_newer_release_is_looked_for_when_asked(open_page: Any) -> None:
    page = open_page("busy", "settings", viewport={"width": 1280, "height": 900})
    page.get_by_role("button", name="Look for a newer release").click()
    told = page.get_by_role("status").filter(has_text="0.2.0 is offered; 0.1.0 runs.")
    expect(told).to_contain_text("It changes the database: a copy is made first")
    told.get_by_role("button", name="Copy command").click()
    assert copied(page, "update") == "omni-connector update"
    page = open_page("empty", "settings", errors_expected=True)
    page.get_by_role("button", name="Look for a newer release").click()
    expect(page.get_by_text("No address of releases is set.")).to_be_visible()


def test_jobs_that_cannot_be_read(mock: Any, open_page: Any) -> None:
    page = open_page("empty", "overview", errors_expected=True)
    expect(page.get_by_role("heading", name="One key for every AI account you own")).to_be_visible()
    mock.tell("refuse", on=True)
    page.evaluate("location.hash = '#/jobs'")
    expect(page.get_by_role("alert")).to_contain_text("The mock refuses.")
    mock.tell("refuse", on=False)
    page.get_by_role("button", name="Try again").click()
    expect(row(page, "Cooldowns")).to_contain_text("has not run yet")


def test_the_products_own_jobs_have_names(product: str, open_page: Any) -> None:
    page = open_page("", "jobs", url=product, errors_expected=True)
    expect(row(page, "Copy of the database")).to_contain_text("every 24 h")
    kinds = page.evaluate("fetch('/api/jobs').then((answer) => answer.json()).then((data) => data.jobs.map((job) => job.kind))")
    shown = page.locator("table.jobs tbody .strong").all_inner_texts()
    assert not [kind for kind in kinds if kind.replace("-", " ") in shown], "each kind has a name and a purpose in views/jobs.js"
    page.get_by_role("button", name="Run Recovery now").click()
    expect(row(page, "Recovery")).to_contain_text("good")
