"""What was spent and used: periods in the browser's zone, bars, sums by whoever is asked for, the providers' own figures."""

from __future__ import annotations

import re
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

BERLIN = {"viewport": {"width": 1280, "height": 900}, "timezone_id": "Europe/Berlin"}
PAINTED = """() => {
  const canvas = document.querySelector(".chart-box canvas");
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] > 200) seen.add([pixels[i], pixels[i + 1], pixels[i + 2]].join());
  return [...seen];
}"""


def asked(page: Any) -> list[dict[str, str]]:
    """The queries of the calls for usage so far."""
    urls = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name).filter((one) => one.includes('/api/usage?'))")
    return [dict(part.split("=", 1) for part in url.partition("?")[2].split("&")) for url in urls]


def figures(page: Any) -> list[str]:
    return list(page.locator(".usage-stats dd:not(.stat-note)").all_inner_texts())


def test_figures_bars_and_sums_of_a_period(open_page: Any, shoot: Any) -> None:  # C-97
    page = open_page("busy", "usage", **BERLIN)
    expect(page.get_by_role("heading", name="Usage")).to_be_visible()
    expect(page.locator(".page-head")).to_contain_text("Europe/Berlin")
    expect(page.get_by_role("img", name=re.compile("^Spend by the day, 30 bars"))).to_be_visible()
    assert {"group": "account", "zone": "Europe%2FBerlin"}.items() <= asked(page)[0].items()
    rows = page.locator("table.usage tbody tr")
    expect(rows).to_have_count(7)
    expect(rows.first).to_contain_text("openai")
    expect(rows.first).to_contain_text("$14.20")  # worth beside cost
    expect(page.locator("table.usage tr", has_text="deepseek")).to_contain_text("unknown")  # never $0
    expect(page.get_by_role("link", name=re.compile("not priced"))).to_have_attribute("href", "#/prices")
    link = page.get_by_role("link", name="CSV")
    assert re.fullmatch(r"/api/usage\?group=account&from=\d+&to=\d+&zone=Europe%2FBerlin&format=csv", link.get_attribute("href"))
    shoot(page, "usage")


def test_the_choice_stands_in_the_address(open_page: Any) -> None:
    page = open_page("busy", "usage", **BERLIN)
    page.get_by_role("radio", name="24 h").click()
    expect(page.get_by_role("img", name=re.compile("^Spend by the hour, 24 bars"))).to_be_visible()
    page.get_by_role("radio", name="Model").click()
    expect(page.locator("table.usage th").first).to_have_text("Model")
    page.get_by_role("radio", name="Requests", exact=True).click()
    expect(page.get_by_role("img", name=re.compile("^Requests by the hour"))).to_be_visible()
    assert page.evaluate("location.hash") == "#/usage?period=24h&by=model&show=requests"
    page.reload()
    expect(page.get_by_role("radio", name="24 h")).to_be_checked()
    expect(page.locator("table.usage tr", has_text="claude-sonnet-4-5").get_by_role("link")).to_have_attribute(
        "href", "#/activity?model=claude-sonnet-4-5"
    )


def test_days_of_ones_own(open_page: Any) -> None:
    page = open_page("busy", "usage?period=custom&from=2026-03-28&to=2026-03-30", **BERLIN)  # the clock is put forward on the 29th
    expect(page.get_by_role("img", name=re.compile("^Spend by the day, 3 bars"))).to_be_visible()
    assert {"from": "2026-03-28", "to": "2026-03-31"}.items() <= asked(page)[0].items()
    page.get_by_label("From").fill("2026-03-31")
    expect(page.get_by_text("Choose two days")).to_be_visible()


def test_the_chart_by_keyboard_and_in_both_themes(open_page: Any) -> None:
    page = open_page("busy", "usage?period=7d&show=tokens&split=kind", **BERLIN)
    chart = page.get_by_role("img", name=re.compile("^Tokens by the day, 7 bars"))
    chart.focus()
    page.keyboard.press("End")
    expect(page.locator(".chart-tip")).to_contain_text(re.compile(r"from cache\s*\d.*read\s*\d.*written\s*\d.*together\s*\d", re.S))
    said = page.locator(".chart-at").inner_text()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".chart-at")).not_to_have_text(said)
    light = set(page.evaluate(PAINTED))
    page.get_by_role("radio", name="Dark").click()
    page.wait_for_function(f"() => !({PAINTED})().some((colour) => {sorted(light)[:1]}.includes(colour))")
    assert len(set(page.evaluate(PAINTED)) - light) >= 3


def test_bars_split_by_whom_they_are_for(open_page: Any, shoot: Any) -> None:  # C-97
    """The seven largest and the others, told by words, order and pattern; the same in the table below."""
    page = open_page("busy", "usage?period=7d&show=requests&by=client", **BERLIN)
    legend = page.locator(".chart-key")
    expect(legend).to_have_count(8)
    assert legend.all_inner_texts()[0] == "claude-cli/2.1.4"
    assert legend.all_inner_texts()[-1] == "3 others"
    swatches = page.evaluate("[...document.querySelectorAll('.chart-key .swatch')].map((one) => one.style.cssText + one.className)")
    assert len(set(swatches)) == 8
    rows = page.locator("table.usage tbody tr")
    fills = [row.locator(".share i").evaluate("(one) => getComputedStyle(one).backgroundColor") for row in rows.all()]
    assert len(set(fills[:8])) == 8
    assert fills[7:] == [fills[7]] * 3  # those that are drawn together look the same
    chart = page.get_by_role("img", name=re.compile("^Requests by the day, 7 bars"))
    tip = page.locator(".chart-tip")
    expect(tip).to_have_count(0)
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 40, box["y"] + 120)
    expect(tip).to_contain_text("claude-cli/2.1.4")
    expect(tip).to_contain_text("3 others")
    under = tip.bounding_box()
    assert under["x"] + under["width"] < box["x"] + box["width"] - 40  # not under the pointer
    page.mouse.move(box["x"] + 20, box["y"] - 60)
    expect(tip).to_have_count(0)
    chart.focus()
    page.keyboard.press("Home")
    first = tip.inner_text()
    page.keyboard.press("ArrowRight")
    expect(tip).not_to_have_text(first)
    page.get_by_role("radio", name="Kind").click()
    expect(legend).to_have_text(["answered", "failed"])
    assert "split=kind" in page.evaluate("location.hash")
    page.get_by_role("radio", name="Who").click()
    shoot(page, "usage-by-client")


def test_names_from_outside_are_only_text_in_the_chart(open_page: Any) -> None:
    page = open_page("hostile", "usage?period=7d&by=model", **BERLIN)
    expect(page.locator(".chart-key").last).to_be_visible()
    page.get_by_role("img", name=re.compile("^Spend by the day")).focus()
    page.keyboard.press("End")
    expect(page.locator(".chart-tip")).to_be_visible()
    assert page.evaluate("document.querySelectorAll('main script, main img').length") == 0


def test_the_chart_is_fetched_only_where_it_is_drawn(open_page: Any) -> None:
    page = open_page("busy", "quota", **BERLIN)
    expect(page.get_by_role("heading", name="Quota")).to_be_visible()
    page.evaluate("location.hash = '#/usage'")
    expect(page.locator(".chart-box canvas")).to_be_visible()
    names = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name.split('/').pop())")
    assert names.count("uplot.mjs") == 1
    assert names.index("uplot.mjs") > names.index("quota.js")


def test_compared_with_the_providers(open_page: Any, shoot: Any) -> None:
    page = open_page("busy", "usage", **BERLIN)
    part = page.get_by_role("region", name="Compared with the providers")
    differs = part.locator("tr", has_text="2026-03-02")
    expect(differs).to_contain_text("Differs")
    expect(differs).to_contain_text("−$1.00")
    expect(part.locator("tr", has_text="2026-03-01").locator("td").nth(3)).to_have_text("–")  # not told is not $0
    expect(differs).to_contain_text("−50 %")
    expect(part).to_contain_text("up to $0.05 or 2 % is equal")
    differs.get_by_role("button", name="Why 2026-03-02 of openai differs").click()
    why = part.locator(".c-why")
    expect(why).to_contain_text("may be higher than what the provider takes")
    expect(why.get_by_role("link", name="This day by model")).to_have_attribute(
        "href", re.compile("from=2026-03-02&to=2026-03-02&by=model")
    )
    part.get_by_role("button", name="Why 2026-03-03 of openai differs").click()
    expect(why).to_have_count(1)
    expect(why).to_contain_text("Name the part that this account is")
    shoot(page, "reconciled")
    part.get_by_role("button", name="claude-work", exact=True).click()
    expect(page.get_by_role("dialog", name=re.compile("claude-work"))).to_be_visible()


def test_a_key_that_may_read_the_bill(open_page: Any) -> None:
    """Nobody is compared yet: each account that could be is there with what it needs."""
    page = open_page("mixed", "usage", **BERLIN)
    part = page.get_by_role("region", name="Compared with the providers")
    expect(part).to_contain_text("No key that may read the bill")
    first = part.locator(".silent-list li", has_text="claude-api")
    expect(first).to_contain_text("needs an admin key")
    expect(part.get_by_role("button", name="Add a key to openrouter")).to_have_count(0)  # signed in: there is no field for keys
    first.get_by_role("button", name=re.compile("^Add a key to")).click()
    field = page.get_by_role("dialog").locator("[name=usage_key]")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("type", "password")


def test_live_empty_and_refused(mock: Any, open_page: Any) -> None:
    page = open_page("empty", "usage", errors_expected=True, **BERLIN)
    expect(page.get_by_text("Nothing was asked in this time")).to_be_visible()
    assert figures(page)[0] == "$0"
    mock.tell("scenario", name="busy")
    mock.tell("refuse", on=True)
    page.get_by_role("radio", name="7 d").click()
    expect(page.get_by_role("alert").first).to_contain_text("The mock refuses.")
    mock.tell("refuse", on=False)
    page.get_by_role("button", name="Try again").first.click()
    expect(page.locator("table.usage tbody tr")).to_have_count(7)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    before = len(asked(page))
    mock.tell("request")  # settled: added up again, after a while
    page.wait_for_function(
        f"() => performance.getEntriesByType('resource').filter((one) => one.name.includes('/api/usage?')).length > {before}"
    )
