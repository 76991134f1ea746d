from __future__ import annotations

import os
import socket
from dataclasses import replace

import pytest

from omni_connector import handover
from omni_connector.listeners import Place, Sockets, address_of, called, check_reach, is_loopback_name, listen, opened, plan, shown, told
from omni_connector.settings import Settings, SettingsError

DEFAULT = Settings()


@pytest.mark.parametrize(
    ("text", "address"),
    [("0.0.0.0:3000", ("0.0.0.0", 3000)), ("[::1]:3001", ("::1", 3001)), ("localhost:1", ("localhost", 1)), ("3000", ("127.0.0.1", 3000))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert address_of(text, "client_bind") == address


@pytest.mark.parametrize("text", ["", "here", "1.2.3.4", "127.0.0.1:70000", "::1:3000:", "a b:1", "http://x:1", ":", "-1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(SettingsError, match="admin_bind"):
        address_of(text, "admin_bind")


def test_one_listener_or_two() -> None:
    def places(**more: object) -> tuple[Place, ...]:
        return plan(replace(DEFAULT, **more), "127.0.0.1", 38471)  # type: ignore[arg-type]

    both = Place("both", "127.0.0.1", 38471)
    assert places() == (both,)
    assert places(client_bind="127.0.0.1:38471") == (both,)
    assert places(admin_state=False) == (replace(both, side="client"),)
    client = Place("client", "127.0.0.1", 3000)
    assert places(client_bind="127.0.0.1:3000") == (client, replace(both, side="admin"))
    assert places(admin_bind="127.0.0.1:3001") == (replace(both, side="client"), Place("admin", "127.0.0.1", 3001))
    split = {"client_bind": "127.0.0.1:3000", "admin_bind": "127.0.0.1:3001"}
    assert places(**split, admin_state=False) == (client,)
    tls = {"client_tls_cert": "c", "client_tls_key": "k"}
    assert places(**split, **tls) == (replace(client, cert="c", key="k"), Place("admin", "127.0.0.1", 3001))
    assert places(**tls) == (replace(both, cert="c", key="k"),)
    assert places(admin_tls_cert="c", admin_tls_key="k") == (replace(both, cert="c", key="k"),)
    with pytest.raises(SettingsError, match="needs its key"):
        places(client_tls_cert="c")


def test_other_machines_need_a_password_and_the_owners_word() -> None:  # P-12
    here, there = Place("client", "127.0.0.1", 1), Place("client", "0.0.0.0", 1)
    check_reach([here], allow_remote=False, has_password=False)
    check_reach([here, there], allow_remote=True, has_password=True)
    with pytest.raises(SettingsError, match="OMNI_ALLOW_REMOTE"):
        check_reach([there], allow_remote=False, has_password=True)
    with pytest.raises(SettingsError, match="no password is set"):
        check_reach([there], allow_remote=True, has_password=False)
    assert is_loopback_name("::ffff:127.0.0.1") and not is_loopback_name("127.0.0.1.evil.example") and not is_loopback_name("")


def test_what_others_are_told_of_it() -> None:
    assert [opened(url) for url in ("https://0.0.0.0:1", "http://[::]:2/x", "http://10.0.0.1:3")] == [
        "https://localhost:1", "http://localhost:2/x", "http://10.0.0.1:3",
    ]  # fmt: skip
    assert (shown("127.0.0.1", 1), shown("::1", 1, tls=True), called("0.0.0.0", 2)) == (
        "http://localhost:1", "https://localhost:1", "http://127.0.0.1:2",
    )  # fmt: skip
    assert (shown("127.0.0.2", 1), shown("localhost", 1), shown("0.0.0.0", 1)) == (
        "http://127.0.0.2:1", "http://localhost:1", "http://0.0.0.0:1",
    ), "another loopback address is another place"  # fmt: skip
    said = told([(Place("client", "0.0.0.0", 0, "c", "k"), 3000), (Place("admin", "::1", 3001), 3001)])
    assert (said["url"], said["client_url"]) == ("http://[::1]:3001", "https://127.0.0.1:3000")
    assert (said["base_url"], said["dashboard"]) == ("https://0.0.0.0:3000", "http://localhost:3001")
    assert [entry["remote"] for entry in said["listeners"]] == [True, False]
    closed = told([(Place("client", "127.0.0.1", 0), 5)])
    assert closed["url"] == "http://127.0.0.1:5"


def test_a_socket_is_there_until_nobody_wants_it() -> None:
    sockets = Sockets({})
    first, second = sockets.take(("127.0.0.1", 0)), sockets.take(("127.0.0.1", 0))
    address = first.getsockname()
    assert second.getsockname() == address
    first.close()
    with socket.create_connection(address):
        sockets.keep_only([("127.0.0.1", 0)])
    second.close()
    with socket.create_connection(address):
        sockets.keep_only([])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_a_busy_address_takes_nothing() -> None:
    with listen("127.0.0.1", 0) as taken:
        sockets = Sockets({})
        with pytest.raises(OSError):
            sockets.take(("127.0.0.1", taken.getsockname()[1]))
        assert sockets.all() == []


def test_what_a_predecessor_handed_over_is_used_or_closed() -> None:
    with listen("127.0.0.1", 0) as used, listen("127.0.0.1", 0) as unused:
        numbers = [os.dup(used.fileno()), os.dup(unused.fileno())]
        sockets = Sockets({handover.LISTENERS: ",".join(map(str, numbers))})
        address = ("127.0.0.1", used.getsockname()[1])
        with sockets.take(address) as mine:
            assert mine.getsockname() == address
        sockets.keep_only([address])
        with pytest.raises(OSError):
            os.fstat(numbers[1])
        sockets.close()
