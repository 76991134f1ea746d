"""The two providers behind a Google sign-in. C-01, C-02, C-52, C-53, P-18, P-21, P-48, R-37, R-40"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from omni_connector import providers
from omni_connector.providers import PROVIDERS, canonical, google_rows
from omni_connector.providers.google_rows import GOOGLE_ROWS
from omni_connector.snapshot import Account

rows = pytest.mark.parametrize("row", GOOGLE_ROWS, ids=lambda row: row.id)
C01 = "gemini-2.5-flash gemini-2.5-flash-lite gemini-2.5-pro gemini-2.5-pro-preview-06-05 gemini-2.5-flash-preview-09-2025"
C01 += " gemini-3-pro-preview gemini-3-flash-preview"
C02 = "gemini-2.5-computer-use-preview-10-2025 gemini-3-pro-image-preview gemini-3-pro-preview gemini-3-flash-preview gemini-2.5-flash"
C02 += " gemini-claude-sonnet-4-5 gemini-claude-sonnet-4-5-thinking gemini-claude-opus-4-5-thinking"


def test_their_names_and_models() -> None:  # C-01, C-02, P-48, R-37
    assert canonical("gemini-cli-oauth") == ("gemini-cli", "") and canonical("Gemini-Antigravity") == ("antigravity", "")
    assert set(C01.split()) <= set(PROVIDERS["gemini-cli"].default_models)
    assert set(C02.split()) <= set(PROVIDERS["antigravity"].default_models)
    families = {re.sub(r"[.-].*", "", model.removeprefix("gemini-")) for model in PROVIDERS["gemini-cli"].default_models}
    assert families == {"2", "3"} and "gemini-2.0-flash" in PROVIDERS["gemini-cli"].default_models


def test_where_they_come_back_to() -> None:  # C-52, C-53
    cli, antigravity = (row.sign_in for row in GOOGLE_ROWS)
    assert cli is not None and (cli.redirect_ports, cli.redirect_path) == ((8085,), "/oauth2callback")
    assert antigravity is not None and (antigravity.redirect_ports, antigravity.redirect_path) == ((8086, 51121), "/oauth-callback")


@rows
def test_the_client_is_the_user_s_own(row: providers.Provider) -> None:
    profile = row.sign_in
    assert profile is not None and profile.own_client and profile.opt_in and not profile.client_id
    assert ("ONEAPI_GEMINI_OAUTH_CLIENT_ID", "ONEAPI_GEMINI_OAUTH_CLIENT_SECRET") in profile.client_env
    assert ("GEMINI_OAUTH_CLIENT_ID", "GEMINI_OAUTH_CLIENT_SECRET") in profile.client_env
    assert profile.authorization_extra == {"access_type": "offline", "prompt": "consent"}
    assert "suspend" in profile.notice and "\n" not in profile.notice and row.price_id == "subscription"


def test_no_client_of_a_vendor_ships() -> None:
    text = Path(google_rows.__file__).read_text()
    assert "googleusercontent" not in text and "GOCSPX" not in text


def test_hosts_are_chosen_by_region_and_written_in_any_way() -> None:
    def url(**more: object) -> str:
        account = providers.complete(Account("a", "antigravity", "a", **more))  # type: ignore[arg-type]
        return providers.endpoint(PROVIDERS["antigravity"], account, "/v1internal:generateContent")

    assert url() == "https://daily-cloudcode-pa.googleapis.com/v1internal:generateContent"
    assert url(options={"region": "prod"}) == "https://cloudcode-pa.googleapis.com/v1internal:generateContent"
    for text in ("http://127.0.0.1:1", "http://127.0.0.1:1/", "http://127.0.0.1:1/v1internal"):
        assert url(base_url=text) == "http://127.0.0.1:1/v1internal:generateContent"
        assert url(options={"endpoints": {"inference": text}}) == "http://127.0.0.1:1/v1internal:generateContent"
