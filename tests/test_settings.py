from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector import settings
from omni_connector.settings import BY_NAME, SETTINGS, Settings, SettingsError, load, parse_dotenv


def test_the_table_is_complete_and_sound() -> None:
    assert len({row.env for row in SETTINGS}) == len(SETTINGS) == len(BY_NAME)
    for row in SETTINGS:
        assert row.env.startswith("OMNI_")
        assert row.help.endswith(".") or "example" in row.help or "://" in row.help
        text = settings._text(row.default)
        assert text == "" or settings.parse(row, text) == row.default
    assert (Settings().host, Settings().port) == ("127.0.0.1", 38471)
    assert load({}) == Settings()


def test_environment_then_database_then_default() -> None:  # C-55
    assert load({}, {"max_attempts": "5"}).max_attempts == 5
    both = load({"OMNI_PORT": "6", "PORT": "7", "MODEL_PROVIDER": "groq"}, {"port": "5", "unknown": "x"})
    assert (both.port, both.default_provider) == (6, "groq")
    assert load({"OMNI_PORT": " ", "PORT": "7"}).port == 7
    assert load({"OMNI_CORS_ORIGINS": "https://a, https://b,"}).cors_origins == ("https://a", "https://b")
    assert load({"OMNI_CLIENT_AUTH": "Off", "OMNI_RETRY_BUDGET": "1"}) == Settings(client_auth=False, retry_budget=1.0)
    assert load({}, {"database_url": "sqlite:///x"}).database_url == ""
    sources = {entry["name"]: entry["source"] for entry in both.describe()}
    assert (sources["port"], sources["strategy"]) == ("environment", "default")


@pytest.mark.parametrize(
    ("env", "stored", "says"),
    [
        ({"PORT": "many"}, {}, r"PORT='many' is not a whole number; use a value like 38471\."),
        ({"OMNI_PORT": "65536"}, {}, r"OMNI_PORT='65536' is too large; use at most 65535\."),
        ({"OMNI_RETRY_BUDGET": "nan"}, {}, r"OMNI_RETRY_BUDGET='nan' is not a number"),
        ({"OMNI_CLIENT_AUTH": "maybe"}, {}, r"is not a yes or no; use true or false\."),
        ({"OMNI_LOG_LEVEL": "loud"}, {}, r"OMNI_LOG_LEVEL='loud' is not a choice; use one of debug, info, warning, error\."),
        ({}, {"max_attempts": "0"}, r"stored setting max_attempts='0' is too small; use at least 1\."),
    ],
)
def test_a_bad_value_names_variable_value_reason_and_fix(env: dict[str, str], stored: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        load(env, stored)


def test_secrets_are_masked() -> None:
    found = load({"REQUIRED_API_KEY": "hunter2", "OMNI_DATABASE_URL": "postgresql://u:hunter3@h/d"})
    assert found.required_api_key == "hunter2"
    assert "hunter" not in str(found.describe()) + repr(found)


def test_checking_what_the_api_stores() -> None:
    cases: list[tuple[str, object, str]] = [
        ("max_attempts", 8, "8"),
        ("client_auth", False, "false"),
        ("client_auth", "NO", "false"),
        ("cors_origins", ["a", "b"], "a,b"),
        ("retry_budget", 0.5, "0.5"),
        ("strategy", "lru", "lru"),
    ]
    for name, value, text in cases:
        assert settings.check(BY_NAME[name], value) == text
    wrong = [("max_attempts", value) for value in (None, {}, True)]
    for name, value in (*wrong, ("port", "80"), ("strategy", "best"), ("database_url", "sqlite:////x")):
        with pytest.raises(SettingsError, match=name):
            settings.check(BY_NAME[name], value)


# ---------------------------------------------------------------- Home and .env


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.home_path({}) == tmp_path / ".omni-connector"
    assert settings.home_path({"OMNI_HOME": "~/x"}) == tmp_path / "x"
    home = settings.home_path({"OMNI_HOME": "rel"})
    assert home == tmp_path / "rel"
    home.mkdir(mode=0o755)
    settings.prepare_home(home)
    settings.prepare_home(home)
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()} == dict.fromkeys(
        ("logs", "backups", "releases"), 0o700
    )
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="OMNI_HOME"):
        settings.prepare_home(tmp_path / "file")


def test_the_env_file_of_the_home_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, current = tmp_path / "home", tmp_path / "cwd"
    for folder, port in ((home, 1), (current, 2)):
        folder.mkdir()
        (folder / ".env").write_text(f"PORT={port}\nHOST=a\n")
    monkeypatch.chdir(current)
    assert settings.environment(home, {"HOST": "b"}) == {"PORT": "1", "HOST": "b"}
    assert settings.environment(tmp_path, {"HOST": "b"}) == {"HOST": "b"}
    (home / ".env").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        settings.environment(home, {})


def test_dotenv_forms() -> None:
    text = """
    # comment
    A=1
    export B = two words # comment
    C='literal \\n # kept'   # comment
    D="esc \\"q\\" \\n \\$x \\d"
    E=
    F=a#b
    G=#only a comment
    H="" # empty
    A=2
    """
    assert parse_dotenv(text) == {
        "A": "2",
        "B": "two words",
        "C": "literal \\n # kept",
        "D": 'esc "q" \n $x \\d',
        "E": "",
        "F": "a#b",
        "G": "",
        "H": "",
    }


@pytest.mark.parametrize("line", ["novalue", "1A=x", "A B=x", "=x", "A='open", 'A="open', 'A="x" y', "export A"])
def test_dotenv_errors_name_the_line(line: str) -> None:
    with pytest.raises(SettingsError, match=r"my\.env, line 2"):
        parse_dotenv(f"OK=1\n{line}\n", "my.env")


@given(st.text(st.characters(exclude_characters="'", exclude_categories=("Cc", "Zl", "Zp", "Cs"))))
def test_single_quotes_keep_everything(value: str) -> None:
    assert parse_dotenv(f"A='{value}'") == {"A": value}


def test_secrets_come_from_files_too(tmp_path: Path) -> None:  # J-28, J-30
    """As containers get them. The real environment wins over .env, whichever of the two names it uses."""
    for name, text in {"password": "correct horse\n", "url": "sqlite:////x.db\r\n", "master": "a:b\nc:d\n", "empty": "\n"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / ".env").write_text(f"OMNI_MONITOR_KEY=from-dotenv\nOMNI_ADMIN_KEY_FILE={tmp_path / 'password'}\n")
    env = {
        "OMNI_ADMIN_PASSWORD_FILE": str(tmp_path / "password"),
        "OMNI_DATABASE_URL_FILE": str(tmp_path / "url"),
        "OMNI_MASTER_KEY_FILE": str(tmp_path / "master"),
        "OMNI_MONITOR_KEY_FILE": str(tmp_path / "password"),
        "OMNI_LOG_LEVEL_FILE": "/no/secret/so/no/file",
    }
    found = settings.environment(tmp_path, env)
    loaded = settings.load(found)
    assert (loaded.admin_password, loaded.database_url, loaded.monitor_key) == ("correct horse", "sqlite:////x.db", "correct horse")
    assert (found["OMNI_MASTER_KEY"], found["OMNI_ADMIN_KEY"]) == ("a:b\nc:d", "correct horse")
    for bad, says in (
        ({"OMNI_ADMIN_KEY_FILE": str(tmp_path / "none")}, "OMNI_ADMIN_KEY_FILE=.*cannot be read"),
        ({"OMNI_ADMIN_KEY_FILE": str(tmp_path / "empty")}, "is empty"),
        ({"OMNI_ADMIN_KEY_FILE": str(tmp_path / "password"), "OMNI_ADMIN_KEY": "x"}, "both set"),
    ):
        with pytest.raises(settings.SettingsError, match=says):
            settings.environment(tmp_path, bad)
