import io
from pathlib import Path

import pytest

from omni_connector import secrets
from tests.cli.conftest import Cli
from tests.tls import make_pair


def test_the_clients_door(
    cli: Cli, omni_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "client key is" in cli("client", "key", "chosen-by-hand-1").out
    fresh = cli("client", "regen").out.strip()
    assert secrets.key_checksum_ok(fresh)
    assert [key["name"] for key in cli("key", "list", "--json").json["keys"]] == ["client"]
    monkeypatch.setattr("sys.stdin", io.StringIO("from-standard-input-1\n"))
    assert cli("client", "key", "-").code == 0
    off = cli("client", "auth", "off")
    assert off.out == "client auth is off\n" and "can use your accounts" in off.err
    assert cli("client", "auth", "on", "--json").json == {"client_auth": True}
    assert cli("client", "bind", "127.0.0.1:3000").out == "client bind: 127.0.0.1:3000\n"
    assert cli("client", "bind", "default").out == "client bind: default\n"
    cert, key = make_pair(tmp_path / "tls", 1)
    monkeypatch.chdir(tmp_path)
    assert cli("client", "tls", "tls/cert.pem", "tls/key.pem", "--json").json == {"client_tls_cert": str(cert), "client_tls_key": str(key)}
    assert cli("client", "tls-off").out == "client tls is off\n"


def test_the_admins_door(cli: Cli, omni_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("admin", "key", "an-admin-key-of-mine").code == 0
    assert (omni_home / "admin.key").read_text() == "an-admin-key-of-mine\n"
    assert cli("admin", "regen").out == (omni_home / "admin.key").read_text()
    assert cli("admin", "bind", "127.0.0.1:3001", "--json").json == {"admin_bind": "127.0.0.1:3001"}
    assert cli("admin", "state", "off").out == "the admin side is closed\n"
    assert cli("admin", "state", "on").out == "the admin side is open\n"
    monkeypatch.setattr("omni_connector.secrets.hash_password", lambda text: f"hash:{text}")
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    assert cli("admin", "password", "--stdin").out == "The password is set.\n"
    assert cli("admin", "password", "--remove").out == "There is no password any more.\n"


@pytest.mark.parametrize(
    ("argv", "said", "code"),
    [
        (("client", "bind", "nonsense"), "address with a port", 2),
        (("client", "bind", "0.0.0.0:3000"), "OMNI_ALLOW_REMOTE", 2),
        (("client", "key", "short"), "12 to 200", 2),
        (("client", "auth", "maybe"), "maybe", 2),
        (("admin", "tls", "/nowhere.pem", "/nowhere.key"), "/nowhere.pem", 2),
        (("admin", "password"), "--stdin", 1),
        (("reload",), "No server runs", 1),
    ],
)
def test_mistakes_are_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], said: str, code: int) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    result = cli(*argv)
    assert (result.code, result.err.count("\n")) == (code, 1), result
    assert said in result.err
