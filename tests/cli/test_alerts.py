"""`omni-connector alerts`, without a server. J-09"""

from __future__ import annotations

import io
import json

import pytest

from tests.cli.conftest import Cli

URL = "https://oapi.dingtalk.com/robot/send?access_token=0123456789abcdef"


def test_a_channel_from_beginning_to_end(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:  # J-09
    assert "alerts add" in cli("alerts", "list").out
    monkeypatch.setenv("DING", URL)
    monkeypatch.setenv("DING_SECRET", "SEC-of-mine")
    added = cli("alerts", "add", "dingtalk", "--url-env", "DING", "--secret-env", "DING_SECRET", "--name", "ops", "--kinds", "low_balance")
    assert (added.code, "alerts test ops" in added.err) == (0, True)
    monkeypatch.setattr("sys.stdin", io.StringIO("https://hooks.slack.com/services/T0123456/B0123456/abcdefgh1\n"))
    assert cli("alerts", "add", "--url-stdin", "--json").json["kind"] == "slack"
    listed = cli("alerts", "list", "--json").json
    assert [(channel["name"], channel["signed"]) for channel in listed["channels"]] == [("ops", True), ("slack", False)]
    shown = cli("alerts", "list").out + json.dumps(listed) + added.out + added.err
    assert "oapi.dingtalk.com" in shown
    for secret in ("0123456789abcdef", "SEC-of-mine", "B0123456"):
        assert secret not in shown
    assert cli("alerts", "remove", "ops").out == "Channel 'ops' is removed.\n"
    assert cli("alerts", "remove", "slack", "--json").json["removed"]


def test_a_test_says_what_came_of_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_ALERT_PRIVATE_TARGETS", "1")
    cli("alerts", "add", "--url", "http://127.0.0.1:9/hook", "--name", "own")
    tested = cli("alerts", "test", "own")
    assert (tested.code, tested.out) == (1, "own: 127.0.0.1: nothing answers there.\n")
    assert cli("alerts", "test", "own", "--json").json["ok"] is False


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("add",), "--url-stdin"),
        (("add", "--url", URL, "--url-env", "X"), "once"),
        (("add", "--url-env", "NOT_SET"), "NOT_SET"),
        (("add", "--url", "http://10.0.0.1/x"), "public internet"),
        (("add", "teams", "--url", URL), "kind"),
        (("test", "nobody"), "nobody"),
        (("remove", "nobody"), "nobody"),
    ],
)
def test_mistakes_are_one_line(cli: Cli, argv: tuple[str, ...], says: str) -> None:
    result = cli("alerts", *argv)
    assert result.code in (1, 2)
    assert (result.out, result.err.count("\n")) == ("", 1)
    assert says in result.err


def test_a_channel_is_changed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("alerts", "add", "dingtalk", "--url", URL, "--name", "ops")
    told = cli("alerts", "edit", "ops", "--name", "night", "--kinds", "all_down, needs_login", "--off", "--json")
    assert told.code == 0
    monkeypatch.setenv("SIGNED", "hush-hush")
    assert cli("alerts", "edit", "night", "--secret-env", "SIGNED", "--json").json["signed"]
    assert cli("alerts", "edit", "night", "--no-secret", "--on", "--kinds", "", "--url", f"{URL}f").code == 0
    (channel,) = cli("alerts", "list", "--json").json["channels"]
    assert (channel["name"], channel["enabled"], channel["kinds"], channel["signed"]) == ("night", True, [], False)
    refused = cli("alerts", "edit", "night")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
