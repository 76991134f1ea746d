from __future__ import annotations

from typing import Any

import pytest

from omni_connector.proxies import is_trusted, networks, seen_through
from omni_connector.settings import SettingsError

TRUSTED = networks(("127.0.0.1", "10.0.0.0/8", "fd00::/8"))


def scope(peer: str, **headers: str) -> dict[str, Any]:
    sent = [(b"host", b"inside:38471"), *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())]
    return {"type": "http", "client": (peer, 1234), "scheme": "http", "headers": sent}


def test_only_listed_proxies_are_believed() -> None:
    lies = {"x_forwarded_for": "127.0.0.1", "x_forwarded_proto": "https", "x_forwarded_host": "localhost"}
    for peer in ("192.0.2.7", "", "not an address"):
        asked = scope(peer, **lies)
        assert seen_through(asked, TRUSTED) is asked
    asked = scope("127.0.0.1", **lies)
    assert seen_through(asked, ()) is asked


def test_the_client_is_the_last_that_is_no_proxy_of_ours() -> None:
    seen = seen_through(scope("10.1.2.3", x_forwarded_for="127.0.0.1, 192.0.2.9, 10.9.9.9", x_forwarded_proto="http, https"), TRUSTED)
    assert (seen["client"], seen["scheme"]) == (("192.0.2.9", 0), "https")
    assert seen_through(scope("::ffff:127.0.0.1", x_forwarded_for="2001:db8::1"), TRUSTED)["client"] == ("2001:db8::1", 0)
    assert seen_through(scope("10.1.2.3", x_forwarded_for="10.0.0.5"), TRUSTED)["client"] == ("10.0.0.5", 0)
    assert (b"x-forwarded-for", b"127.0.0.1, 192.0.2.9, 10.9.9.9") in seen["headers"], "it did not come from this machine"


def test_the_name_that_the_client_used() -> None:
    seen = seen_through(scope("127.0.0.1", x_forwarded_host="omni.example", x_forwarded_proto="ftp"), TRUSTED)
    assert [value for name, value in seen["headers"] if name == b"host"] == [b"omni.example"]
    assert seen["scheme"] == "http" and seen["client"] == ("127.0.0.1", 1234)
    strange = seen_through(scope("127.0.0.1", x_forwarded_host="a/b c"), TRUSTED)
    assert [value for name, value in strange["headers"] if name == b"host"] == [b"inside:38471"]


def test_lists() -> None:
    assert is_trusted("[::ffff:10.0.0.1]", TRUSTED) and is_trusted("fd00::5", TRUSTED) and not is_trusted("10.0.0.1.evil", TRUSTED)
    with pytest.raises(SettingsError, match="trusted_proxies"):
        networks(("proxy.example",))
