"""Reads what the browser brings back, or what the user pastes, and ties it to the sign-in that was begun."""

from __future__ import annotations

import hmac
import re
from urllib.parse import parse_qs, urlsplit

from omni_connector.errors import Kind
from omni_connector.oauth.shapes import ERROR_CODE, FIXES, LONGEST_PASTE, Code, OAuthError

_CODE = re.compile(r"[\x21-\x7e]{1,8192}\Z")


def read_callback(text: str) -> Code:
    """The query of a callback, a whole redirect URL, "code#state", or the code alone → Code. An error of the provider comes back as
    `Code.error`. Raises OAuthError (BAD_REQUEST) saying what to paste when there is neither."""
    text = text.strip().strip("\"'<>")
    if not text or len(text) > LONGEST_PASTE:
        raise _unreadable("there is nothing to read" if not text else "the text is far too long")
    if "://" in text or text.startswith(("?", "/", "code=", "state=", "error=")) or "&" in text:
        return _from_query(text)
    code, _, state = text.partition("#")
    if not _CODE.match(code) or (state and not _CODE.match(state)):
        raise _unreadable("a code has no blanks or strange characters in it")
    return Code(code, state or None)


def _from_query(text: str) -> Code:
    try:
        parts = urlsplit(text if "://" in text or text.startswith("/") else f"?{text.removeprefix('?')}")
        # Some append "?code=…" to an address that has a query already, some answer in the fragment.
        query = "&".join(filter(None, (parts.query.replace("?", "&"), parts.fragment)))
        found = parse_qs(query, max_num_fields=100, errors="strict")
    except ValueError as error:
        raise _unreadable("it is not an address") from error
    values: dict[str, str] = {}
    for name in ("code", "state", "client_id", "error", "iss"):
        given = set(found.get(name, ()))
        if len(given) > 1:
            raise _unreadable(f"{name} stands in it more than once")
        values[name] = next(iter(given), "")
        if values[name] and not _CODE.match(values[name]):
            raise _unreadable(f"its {name} has strange characters in it")
    if values["error"]:
        code = values["error"] if ERROR_CODE.match(values["error"]) else "refused"
        return Code("", values["state"] or None, None, code, values["iss"])
    if not values["code"]:
        raise _unreadable("there is no code in it")
    return Code(values["code"], values["state"] or None, values["client_id"] or None, "", values["iss"])


def _unreadable(why: str) -> OAuthError:
    return OAuthError(
        Kind.BAD_REQUEST,
        f"The sign-in cannot go on: {why}. Paste the whole address that the browser ended at, or the code that the provider shows.",
        param="code",
    )


def check_callback(code: Code, *, state: str, issuer: str = "", pasted: bool = False) -> Code:
    """The callback belongs to the sign-in that was begun with `state`, or OAuthError (BAD_REQUEST).

    `issuer`: the profile's; a callback that names another one comes from another provider (mix-up, RFC 9207 §2.4). `pasted`: a code
    alone may come without a state, since the user carried it here himself and PKCE ties it to this sign-in.
    """
    if code.state is None and not (pasted and not code.error):
        raise OAuthError(Kind.BAD_REQUEST, "The callback has no state, so it cannot be matched with a sign-in; begin again.", param="state")
    if code.state is not None and not hmac.compare_digest(code.state.encode(), state.encode()):
        raise OAuthError(Kind.BAD_REQUEST, "The callback belongs to another sign-in; use the page that was opened last.", param="state")
    if code.iss and issuer and code.iss.rstrip("/") != issuer.rstrip("/"):
        raise OAuthError(Kind.BAD_REQUEST, "The callback comes from another provider than the sign-in was begun with; begin again.", "iss")
    if code.error:
        fix = FIXES.get(code.error, "begin the sign-in again")
        raise OAuthError(Kind.BAD_REQUEST, f"The provider refused the sign-in ({code.error}): {fix}.", code=code.error, terminal=True)
    return code
