"""Client id and secret that the user supplies: order, forms of files, and nothing read unasked. (R-40, R-41)"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni_connector import providers
from omni_connector.errors import GatewayError, Kind
from omni_connector.oauth import Client
from omni_connector.onboarding.own_client import own_client, read_client
from omni_connector.tokens import Tokens

GEMINI = providers.get("gemini-cli")
PROFILE = GEMINI.sign_in
assert PROFILE is not None
NONE = Client("")
SOURCE = "const OAUTH_CLIENT_ID =\n  '123-abc.apps.googleusercontent.com';\nconst OAUTH_CLIENT_SECRET = 'GOC-s3cret_value';"
FOUND = Client("123-abc.apps.googleusercontent.com", "GOC-s3cret_value")
ENV = {"ONEAPI_GEMINI_OAUTH_CLIENT_ID": "env-id", "ONEAPI_GEMINI_OAUTH_CLIENT_SECRET": "env-secret"}


def chosen(env: dict[str, str], given: Client = NONE, kept: Tokens | None = None, from_cli: bool = False, path: str = "") -> Client:
    assert PROFILE is not None
    return own_client(GEMINI, PROFILE, env, given=given, kept=kept, from_cli=from_cli, path=path)


def test_the_first_that_is_there(tmp_path: Path) -> None:  # C-62
    file = tmp_path / "client.json"
    file.write_text(json.dumps({"installed": {"client_id": "file-id", "client_secret": "file-secret", "redirect_uris": []}}))
    aliases = {"GEMINI_OAUTH_CLIENT_ID": "alias-id", "GEMINI_OAUTH_CLIENT_SECRET": "alias-secret"}
    source = {"ONEAPI_GEMINI_OAUTH_SOURCE_FILE": str(file)}
    kept = Tokens("at", client_id="kept-id", client_secret="kept-secret")
    assert chosen({**ENV, **aliases, **source}, Client("given-id", "given-secret"), kept).id == "given-id"
    assert chosen({**ENV, **aliases, **source}, NONE, kept) == Client("kept-id", "kept-secret")
    assert chosen({**ENV, **aliases, **source}) == Client("env-id", "env-secret")
    assert chosen({**aliases, **source}) == Client("alias-id", "alias-secret")
    assert chosen(source) == Client("file-id", "file-secret")


def test_missing_names_every_way_and_half_a_pair_its_other_half() -> None:
    with pytest.raises(GatewayError) as missing:
        chosen({})
    for name in (*ENV, "GEMINI_OAUTH_CLIENT_ID", "ONEAPI_GEMINI_OAUTH_SOURCE_FILE", "--client-id"):
        assert name in missing.value.message
    with pytest.raises(GatewayError) as half:
        chosen({"ONEAPI_GEMINI_OAUTH_CLIENT_ID": "env-id"})
    assert "ONEAPI_GEMINI_OAUTH_CLIENT_SECRET is not" in half.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SOURCE, FOUND),
        (SOURCE.replace("'", '"').replace("\n  ", ""), FOUND),
        ("var OAUTH_CLIENT_ID2=`123-abc.apps.googleusercontent.com`,OAUTH_CLIENT_SECRET2=`GOC-s3cret_value`;", FOUND),
        (json.dumps({"web": {"client_id": "a", "client_secret": "b"}}), Client("a", "b")),
        (json.dumps({"client_id": "a", "client_secret": "b"}), Client("a", "b")),
        (json.dumps({"client_id": "a"}), None),
        ("[1]", None),
        ("OAUTH_CLIENT_ID = process.env.ID", None),
        ("", None),
    ],
)
def test_forms_of_files(text: str, expected: Client | None) -> None:
    assert read_client(text) == expected


@pytest.mark.parametrize("content", [None, "nothing in it"])
def test_a_file_that_does_not_help_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "oauth2.js"
    if content is not None:
        file.write_text(content)
    with pytest.raises(GatewayError) as error:
        chosen({"ONEAPI_GEMINI_OAUTH_SOURCE_FILE": str(file)})
    assert str(file) in error.value.message
    assert error.value.kind is Kind.BAD_REQUEST


def test_a_client_that_no_header_or_form_should_carry_is_refused() -> None:
    with pytest.raises(GatewayError):
        chosen({}, Client("id\r\nx: y", "secret"))


def installed(folder: Path, where: str, name: str = "@google/gemini-cli") -> str:
    """A gemini-cli as npm installs it; → the folder of its program."""
    package = folder / "lib/node_modules/@google/gemini-cli"
    (package / "bundle").mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"name": name}))
    program = package / "bundle/gemini.js"
    program.write_text("#!/usr/bin/env node\n")
    program.chmod(0o755)
    source = package / where
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(SOURCE)
    (folder / "bin").mkdir()
    (folder / "bin/gemini").symlink_to(program)
    return str(folder / "bin")


@pytest.mark.parametrize(
    "where",
    ["bundle/chunk-ABC.js", "node_modules/@google/gemini-cli-core/dist/src/code_assist/oauth2.js", "dist/src/code_assist/oauth2.js"],
)
def test_an_installed_gemini_cli_is_read_only_when_the_user_says_so(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = installed(tmp_path, where)
    monkeypatch.setenv("PATH", path)
    with pytest.raises(GatewayError):
        chosen({})
    assert chosen({}, from_cli=True, path=path) == FOUND


def test_a_stranger_called_gemini_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="No client id"):
        chosen({}, from_cli=True, path=installed(tmp_path, "bundle/x.js", name="gemini-exchange"))
    with pytest.raises(GatewayError, match="no `gemini` program"):
        chosen({}, from_cli=True, path=str(tmp_path / "nowhere"))
