"""What a browser or a user brings back, however it looks; and what is none of ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import Kind
from omni_connector.oauth import Code, OAuthError, check_callback, read_callback


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("code=c1&state=s1", Code("c1", "s1")),
        ("?code=c1&state=s1&iss=https%3A%2F%2Fauth.test", Code("c1", "s1", iss="https://auth.test")),
        ("http://localhost:1455/auth/callback?code=c1&state=s1&client_id=oaiapp_1", Code("c1", "s1", "oaiapp_1")),
        (" <http://localhost:8085/oauth2callback?state=s1&code=4%2F0Ab_c&scope=email+x> ", Code("4/0Ab_c", "s1")),
        ("http://127.0.0.1:1/cb#code=c1&state=s1", Code("c1", "s1")),
        ("http://localhost:3000/cb?state=s1?code=c1", Code("c1", "s1")),
        ("/oauth/callback?code=c1&state=s1", Code("c1", "s1")),
        ("c1#s1", Code("c1", "s1")),
        ("  4/0AbCd-ef \n", Code("4/0AbCd-ef")),
        ("error=access_denied&state=s1&error_description=no", Code("", "s1", error="access_denied")),
        ("error=%3Cscript%3E&state=s1", Code("", "s1", error="refused")),
    ],
)
def test_a_code_is_found(text: str, expected: Code) -> None:  # P-25
    assert read_callback(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "http://localhost:1455/auth/callback", "http://[x?code=1", "code=a&code=b&state=s", "code=a&state=s&state=t",
        "two words", "c\x00de", "code=%0d%0aSet-Cookie:x&state=s", "x" * 20_000, "ключ", "c#s t",
    ],
)  # fmt: skip
def test_what_is_none_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(OAuthError, match="Paste the whole address") as caught:
        read_callback(text)
    assert caught.value.kind is Kind.BAD_REQUEST


def test_a_callback_belongs_to_one_sign_in() -> None:
    good = Code("c", "s1", iss="https://a.test/")
    assert check_callback(good, state="s1", issuer="https://a.test") is good
    assert check_callback(Code("c"), state="s1", pasted=True).code == "c"
    for code, words in (
        (Code("c", "s2"), "another sign-in"),
        (Code("c"), "no state"),
        (Code("c", "s1", iss="https://evil.test"), "another provider"),
        (Code("", "s1", error="access_denied"), "allow it"),
        (Code("", "s1", error="weird"), "begin the sign-in again"),
        (Code("", "s2", error="access_denied"), "another sign-in"),
    ):
        with pytest.raises(OAuthError, match=words):
            check_callback(code, state="s1", issuer="https://a.test")
    with pytest.raises(OAuthError, match="no state"):
        check_callback(Code("", error="access_denied"), state="s1", pasted=True)


@given(st.text(max_size=200))
def test_nothing_that_is_pasted_breaks_it(text: str) -> None:
    try:
        found = read_callback(text)
    except OAuthError:
        return
    assert found.code.isascii() and (found.code or found.error)
