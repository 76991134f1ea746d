"""Every recorded exchange through a live gateway in every client format, and what docs/wire-formats.md says of it.

The folder of recordings is no part of the project (see recordings.py); without it the committed results are checked against the page.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.replay import report
from tests.replay.exceptions import EXCEPTIONS, WHY
from tests.replay.recordings import FOLDER
from tests.replay.run import OTHER, WRONG, Result, replay
from tests.replay.told import CHAT, FORMATS, MESSAGES

FIX = "python -m tests.replay --write"


@pytest.mark.skipif(not FOLDER.is_dir(), reason="no recordings here; OMNI_RECORDINGS names their folder")
# C-03 C-05 C-21 C-24 C-25 C-26 C-39 C-42 C-45 C-46 C-47 O-21 P-40 P-42 P-55
async def test_every_exchange_in_every_format(tmp_path: Path) -> None:
    results = await replay(FOLDER, tmp_path / "home")
    assert results
    wrong = [f"{one.exchange} · {column}: {line}" for one in results for column, lines in one.wrong.items() for line in lines]
    assert not wrong, "\n".join(wrong)
    known = {one.exchange: one for one in report.from_tsv(report.RESULTS.read_text(encoding="utf-8"))}
    if not known.keys() & {one.exchange for one in results}:
        return  # another folder than the one that the page is about
    assert [one.exchange for one in results] == list(known), f"recordings came or went: {FIX}"
    changed = [one.exchange for one in results if (one.cells, one.why_not) != (known[one.exchange].cells, known[one.exchange].why_not)]
    assert not changed, f"no longer as results.tsv has it: {changed}. Look why, then: {FIX}"


def test_the_page_has_the_committed_results() -> None:
    results = report.from_tsv(report.RESULTS.read_text(encoding="utf-8"))
    text = report.PAGE.read_text(encoding="utf-8")
    assert report.page(text, results) == text, f"docs/{report.PAGE.name} is stale: {FIX}"
    assert not report.counted(results)[WRONG]
    assert report.to_tsv(results) == report.RESULTS.read_text(encoding="utf-8")


def test_every_exception_is_explained() -> None:
    assert {exception.name for exception in EXCEPTIONS} == WHY.keys()
    used = report.counted(report.from_tsv(report.RESULTS.read_text(encoding="utf-8"))).keys()
    assert used <= WHY.keys() | set(report.GOOD)


def test_a_page_without_its_marks_is_not_written() -> None:
    with pytest.raises(ValueError, match="marks"):
        report.page("# Wire formats\n", [])


# ---------------------------------------------------------------- A folder that nobody here has seen


def recording(name: str, wire: str, body: Any, status: int = 200, **more: Any) -> tuple[str, Any]:
    request = {"method": "POST", "path": "/v1/x", "body": None}
    response = {"status": status, "headers": {"content-type": "application/json"}, "body": body}
    return name, {"wire": wire, "features": [], "request": request, "response": response, **more}


GOOD = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
}  # fmt: skip
STRANGE = {**GOOD, "choices": [{"index": 0, "message": {"role": "assistant", "content": [3]}, "finish_reason": "stop"}]}
REFUSED = {"error": {"message": "Say it otherwise.", "type": "invalid_request_error"}}


async def test_another_folder(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, value in (
        recording("good", CHAT, GOOD),
        recording("refused", MESSAGES, REFUSED, 400),
        recording("strange", CHAT, STRANGE),
        recording("foreign", "smoke-signals", {}),
        recording("bare", CHAT, GOOD, response={}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "torn.json").write_text('{"wire": ')
    (folder / "README.md").write_text("not a recording")
    found = {one.exchange: one for one in await replay(folder, tmp_path / "home")}
    assert found.keys() == {"good", "refused", "strange", "foreign", "bare", "torn"}
    assert found["good"].cells == {name: "bytes" if name == CHAT else "equal" for name in FORMATS}
    assert found["refused"].cells == dict.fromkeys(FORMATS, "error")
    assert found["strange"].cells == {CHAT: WRONG}
    assert "cannot be read" in found["strange"].wrong[CHAT][0]
    assert "smoke-signals" in found["foreign"].why_not
    assert "no recorded exchange" in found["bare"].why_not and "no recorded exchange" in found["torn"].why_not


def test_the_table_on_the_terminal() -> None:
    failed = Result("b" * 90, {CHAT: WRONG}, {CHAT: ["text: …"]})
    text = report.terminal([Result("a", {CHAT: "bytes", MESSAGES: "pause, hosted", OTHER: "read"}), failed, Result("c", why_not="no")])
    assert "FAIL " + "b" * 90 in text and "    text: …" in text
    assert "4 checks: 2 without any difference (50.0 %), 1 with a named exception (25.0 %), 1 failed (25.0 %)" in text
