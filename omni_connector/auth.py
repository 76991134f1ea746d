"""Who may use the client API: the five ways to send an omni-key, and what is wrong with one that is refused.

Pure: headers, query and snapshot in, key out. Nothing upstream happens before this has passed (CONTRACT §3).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import KEY_PREFIX, hash_key, key_checksum_ok
from omni_connector.snapshot import ClientKey, Snapshot

KEY_HEADERS = ("x-api-key", "x-goog-api-key")
MOST_MET = 4096
"""Keys whose hash is remembered: one that is good can be found again, so nobody can fill this by guessing."""
_GET_ONE = "Create a key in the dashboard or with `omni-connector key create`."


def presented(headers: Mapping[str, str], query: bytes) -> str:
    """The key a client sent, "" if none: Authorization (with or without Bearer), x-api-key, x-goog-api-key, ?key=.

    Clients send several at times (a proxy's Basic login, a dummy beside the real key): the first that looks like ours counts.
    """
    first = _authorization(headers)
    if first.startswith(KEY_PREFIX):
        return first
    sent = [text for text in (first, *(headers.get(name, "").strip() for name in KEY_HEADERS), _in_query(query)) if text]
    return next((text for text in sent if text.startswith(KEY_PREFIX)), sent[0] if sent else "")


def _authorization(headers: Mapping[str, str]) -> str:
    value = headers.get("authorization", "").strip()
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value


def _in_query(query: bytes) -> str:
    if b"key=" not in query:
        return ""
    values = parse_qs(query.decode("latin-1")).get("key")
    return values[0].strip() if values else ""


def authenticate(headers: Mapping[str, str], query: bytes, snapshot: Snapshot, now: int) -> ClientKey:
    """The key behind a request. Raises GatewayError (UNAUTHENTICATED, code invalid_api_key); `now` in ms."""
    text = presented(headers, query)
    if not text:
        raise _refused(f"No omni-key was sent. Send it as `Authorization: Bearer omni-…`. {_GET_ONE}", "missing_api_key")
    key = snapshot.met.get(text)
    if key is None:
        key = snapshot.keys.get(hash_key(text))
        if key is not None and len(snapshot.met) < MOST_MET:
            snapshot.met[text] = key
    if key is not None:
        status = key.status(now)
        if status == "active":
            return key
        raise _refused(f"The omni-key {key.hint} is {status}. {_GET_ONE}")
    if text.startswith("omniadm-"):
        raise _refused(f"That is the admin key; the client API takes an omni-key. {_GET_ONE}")
    if not text.startswith(KEY_PREFIX):
        raise _refused(f"That is not an omni-key; ours begin with `omni-`. {_GET_ONE}")
    if not key_checksum_ok(text):
        raise _refused("The omni-key has a typo or is cut off: its checksum does not fit. Copy it again.")
    raise _refused(f"The omni-key is not known here. It may belong to another installation. {_GET_ONE}")


def _refused(message: str, code: str = "invalid_api_key") -> GatewayError:
    return GatewayError(Kind.UNAUTHENTICATED, message, code=code)
