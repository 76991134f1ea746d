from __future__ import annotations

import base64
import os
import re
import stat
import string
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector import secrets
from omni_connector.secrets import MASK, SecretsError, Vault, id_floor, key_checksum_ok, mint_key, new_id, redact, scrub

ALNUM = string.digits + string.ascii_letters


# ---------------------------------------------------------------- Ids and keys


def test_a_written_vault_opens_what_it_sealed_and_two_become_one(tmp_path: Path) -> None:
    one, two = Vault({"a": bytes(32), "b": b"b" * 32}, "b"), Vault({"a": b"x" * 32, "c": b"c" * 32}, "c")
    joined = secrets.join_master(one.written(), two.written())
    assert [line.split(":")[0] for line in joined.splitlines()] == ["b", "a", "c"]
    (tmp_path / "master.key").write_text(joined)
    vault = secrets.load_or_create_master(tmp_path, {})
    assert vault.current == "b"
    assert vault.decrypt(one.encrypt("x", "t:1:c"), "t:1:c") == vault.decrypt(two.encrypt("x", "t:1:c"), "t:1:c") == "x"
    with pytest.raises(SecretsError):
        secrets.join_master(joined, "broken")


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    ids = [new_id("req", at) for at in (0, 1, 31, 32, 1_763_700_000_000, 1_763_700_000_001, (1 << 48) - 1)]
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"req_[0-9a-hjkmnp-tv-z]{20}", id_) for id_ in ids)
    assert len({new_id("acc", 5) for _ in range(1000)}) == 1000
    assert new_id("req", 1_763_700_000_000) < id_floor("req", 1_763_700_000_001) <= new_id("req", 1_763_700_000_001)


def test_a_minted_key_has_the_promised_form() -> None:  # J-16, O-22
    key = mint_key()
    assert re.fullmatch(r"omni-[0-9A-Za-z]{49}", key)
    assert key_checksum_ok(key)
    assert mint_key() != key
    assert re.fullmatch(r"[0-9a-f]{64}", secrets.hash_key(key))


def test_every_single_typo_and_every_swap_is_noticed() -> None:  # O-20
    key = mint_key()
    for place in range(len(key)):
        for wrong in ALNUM + "-é ":
            assert key_checksum_ok(key[:place] + wrong + key[place + 1 :]) is (wrong == key[place])
        swapped = key[:place] + key[place : place + 2][::-1] + key[place + 2 :]
        assert key_checksum_ok(swapped) is (swapped == key)
    assert not key_checksum_ok(key[:-1])
    assert not key_checksum_ok(key + "0")


@given(st.text(max_size=80))
def test_other_texts_are_no_keys(text: str) -> None:
    assert not key_checksum_ok(text)
    assert len(secrets.hash_key(text)) == 64


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("omni-Ab3d" + "z" * 41 + "x9Kq", "omni-Ab3d…x9Kq"),
        ("sk-ant-api03-" + "Q" * 80 + "wxyz", "sk-ant-api03-QQQQ…wxyz"),
        ("AIzaSyA" + "b" * 30 + "cdef", "AIza…cdef"),
        ("0123456789abcdef", "01…ef"),
        ("short", "…"),
        ("", "…"),
    ],
)
def test_hints_tell_keys_apart_and_give_little_away(key: str, hint: str) -> None:
    assert secrets.key_hint(key) == hint


# ---------------------------------------------------------------- Vault

VAULT = Vault({"k1": b"1" * 32, "k0": b"0" * 32}, "k1")
AAD = "accounts:acc_1:secret"


@given(st.text(), st.text())
def test_encryption_round_trip(plain: str, aad_tail: str) -> None:
    aad = "t:r:" + aad_tail.encode("utf-8", "replace").decode()
    blob = VAULT.encrypt(plain, aad)
    assert blob.startswith(b"v1|k1|")
    assert VAULT.decrypt(blob, aad) == plain
    assert len(plain) < 8 or plain.encode("utf-8", "surrogatepass") not in blob


@given(st.binary())
def test_bytes_round_trip(plain: bytes) -> None:
    assert VAULT.decrypt_bytes(VAULT.encrypt_bytes(plain, AAD), AAD) == plain


def test_a_blob_is_bound_to_its_place_and_whole() -> None:
    blob = VAULT.encrypt("secret", AAD)
    assert blob != VAULT.encrypt("secret", AAD)
    for aad in ("accounts:acc_2:secret", "accounts:acc_1:headers", ""):
        with pytest.raises(SecretsError, match=r"does not decrypt.*master\.key"):
            VAULT.decrypt(blob, aad)
    for place in range(len(blob)):
        damaged = bytearray(blob)
        damaged[place] ^= 1
        with pytest.raises(SecretsError, match="accounts:acc_1:secret"):
            VAULT.decrypt(bytes(damaged), AAD)
        with pytest.raises(SecretsError):
            VAULT.decrypt(blob[:place], AAD)


def test_the_wrong_master_key_is_said_with_what_to_restore() -> None:
    blob = VAULT.encrypt("secret", AAD)
    with pytest.raises(SecretsError, match=r"master key k1, but only k2 is here.*master\.key.*OMNI_MASTER_KEY"):
        Vault({"k2": b"2" * 32}, "k2").decrypt(blob, AAD)
    with pytest.raises(SecretsError, match="does not decrypt with master key k1"):
        Vault({"k1": b"x" * 32}, "k1").decrypt(blob, AAD)
    assert "1111" not in repr(VAULT)


def test_rotation() -> None:
    newer = Vault({"k2": b"2" * 32, "k1": b"1" * 32}, "k2")
    moved = newer.rotate(VAULT.encrypt("secret", AAD), AAD)
    assert Vault({"k2": b"2" * 32}, "k2").decrypt(moved, AAD) == "secret"


# ---------------------------------------------------------------- Files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_master_key_is_made_once_private_and_kept(tmp_path: Path) -> None:
    blob = secrets.load_or_create_master(tmp_path, {}).encrypt("x", AAD)
    path = tmp_path / "master.key"
    assert mode(path) == 0o600
    assert os.listdir(tmp_path) == ["master.key"]
    path.chmod(0o644)
    assert secrets.load_or_create_master(tmp_path, {}).decrypt(blob, AAD) == "x"
    assert mode(path) == 0o600


def test_several_master_keys_the_first_is_current(tmp_path: Path) -> None:
    old = secrets.load_or_create_master(tmp_path, {})
    blob = old.encrypt("x", AAD)
    path = tmp_path / "master.key"
    path.write_text(f"# rotated\nnew:{base64.b64encode(b'n' * 32).decode()}\n{path.read_text()}")
    both = secrets.load_or_create_master(tmp_path, {})
    assert (both.current, both.decrypt(blob, AAD)) == ("new", "x")


@pytest.mark.parametrize("variable", ["OMNI_MASTER_KEY", "DATA_ENCRYPTION_KEY"])
def test_a_variable_wins_and_the_file_still_decrypts(tmp_path: Path, variable: str) -> None:
    blob = secrets.load_or_create_master(tmp_path, {}).encrypt("x", AAD)
    for value in (base64.urlsafe_b64encode(b"\xfb" * 32).decode(), f"mine:{base64.b64encode(b'e' * 32).decode()}"):
        vault = secrets.load_or_create_master(tmp_path, {variable: value})
        assert vault.decrypt(blob, AAD) == "x"
        assert not vault.encrypt("y", AAD).startswith(blob[:12])
    empty = tmp_path / "empty"
    empty.mkdir()
    secrets.load_or_create_master(empty, {variable: value})
    assert os.listdir(empty) == []


@pytest.mark.parametrize(
    "content", ["", "# nothing\n", "k1:short", "k1:" + "A" * 44, "a b:" + base64.b64encode(b"1" * 32).decode(), "\xff"]
)
def test_a_damaged_master_key_stops_the_start_and_is_never_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(SecretsError, match=r"master\.key.*[Rr]estore"):
        secrets.load_or_create_master(tmp_path, {})
    assert path.read_bytes() == content.encode("latin-1")
    with pytest.raises(SecretsError, match="variable OMNI_MASTER_KEY"):
        secrets.load_or_create_master(tmp_path, {"OMNI_MASTER_KEY": "nonsense"})


def create(home: Path) -> tuple[str, str]:
    return secrets.load_or_create_master(home, {}).current, secrets.load_or_create_admin_key(home, {})


def test_those_who_start_together_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:  # what decides is the file system, which does not care who calls
        assert len(set(pool.map(create, [tmp_path] * 16))) == 1
    assert sorted(os.listdir(tmp_path)) == ["admin.key", "master.key"]


def test_the_admin_key(tmp_path: Path) -> None:
    key = secrets.load_or_create_admin_key(tmp_path, {})
    assert key_checksum_ok(key, secrets.ADMIN_PREFIX)
    assert not key_checksum_ok("omni-" + key.removeprefix("omniadm-"))
    assert secrets.load_or_create_admin_key(tmp_path, {}) == key
    assert secrets.load_or_create_admin_key(tmp_path, {"OMNI_ADMIN_KEY": " mine "}) == "mine"
    assert mode(tmp_path / "admin.key") == 0o600
    (tmp_path / "admin.key").write_text("\n")
    with pytest.raises(SecretsError, match=r"admin\.key is empty"):
        secrets.load_or_create_admin_key(tmp_path, {})


def test_passwords() -> None:
    stored = secrets.hash_password("correct horse")
    assert stored.startswith("$argon2id$")
    assert "horse" not in stored
    assert secrets.verify_password("correct horse", stored)
    assert not secrets.verify_password("correct horsf", stored)
    assert not secrets.verify_password("x", "damaged")


# ---------------------------------------------------------------- Redaction

B = "aB3" * 14
HIDDEN = (
    f"sk-{B}", f"sk-ant-api03-{B}_-x", f"sk-or-v1-{B}", f"AIzaSy{B}", f"gsk_{B}", f"xai-{B}", f"ghp_{B}", f"hf_{B}", "AKIA" + "A1" * 8,
    mint_key(), "omniadm-" + mint_key()[5:], f"Bearer {B}", f"bearer {B}.{B}", "Basic dXNlcjpwYXNzd29yZDE=", f"x-api-key: {B}",
    f"Authorization: {B}", f"authorization: Bearer {B}", f'{{"api_key": "{B}"}}', f'{{\\"apiKey\\":\\"{B}\\"}}', f'"refresh_token":"{B}"',
    f"https://h/p?key={B}&alt=sse", f"?a=1&api_key={B}", f"api_key={B}", f"api_key='{B}'", f"key={B}", f"postgresql://user:{B}@host/db",
    f"http://{B}:{B}@proxy:1", f"eyJhbGciOi.{B}.{B}", f"client_secret={B}", f"password: {B}", f"{{'x-goog-api-key': '{B}'}}", f"ya29.{B}",
)  # fmt: skip
ORDINARY = (
    "The model gpt-4o-mini-2024-07-18 was not found; did you mean claude-sonnet-4-5-20250929?",
    "omni-connector 0.1.0 listens on http://localhost:38471/v1 (omni-connector --help)",
    "api_key: must be a string", "The key is missing: expected NAME=value", "Bearer authentication required", "Basic authentication",
    "risk-assessment-methodology task-management", "request req_01h8xyz0123456789abc of account acc_01h8xyz0123456789abc",
    '{"max_tokens": 4096, "token": 5, "keys": ["a", "b"]}', "user@example.org wrote to git@github.com:owner/repo.git",
    "password is too short",
    "https://api.openai.com/v1/chat/completions?stream=true", "ssh://git@host/path", "key=main", "the secret of good code",
)  # fmt: skip


@pytest.mark.parametrize("text", HIDDEN)
def test_secrets_are_hidden(text: str) -> None:
    for around in (f"{text}", f"before {text} after", f"[{text}]\n{text}"):
        masked = redact(around)
        assert B not in masked, masked
        assert secrets.MASK in masked
        assert redact(masked) == masked
    assert redact(f"before {text} after").startswith("before ")
    assert redact(f"before {text} after").endswith(" after")


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


PIECES = st.one_of(
    st.sampled_from(
        [
            *HIDDEN,
            *ORDINARY,
            secrets.MASK,
            "Bearer ",
            "key=",
            "?key=",
            '"api_key":"',
            "sk-",
            "://",
            ":",
            "@",
            "=",
            '"',
            "\\",
            "authorization: ",
        ]
    ),
    st.text(max_size=12),
    st.text(ALNUM + "-_.=", max_size=30),
)


@given(st.lists(PIECES, max_size=8))
def test_twice_is_once(pieces: list[str]) -> None:
    masked = redact("".join(pieces))
    assert redact(masked) == masked


@given(st.lists(st.text(string.ascii_letters, min_size=1, max_size=15), max_size=30), st.sampled_from([" ", ", ", "\n"]))
def test_plain_words_stay(words: list[str], between: str) -> None:
    text = between.join(words)
    assert redact(text) == text


@given(
    st.text(ALNUM, min_size=40, max_size=60),
    st.sampled_from(["sk-", "sk-ant-", "omni-", "Bearer ", "x-api-key: ", "?key=", '"api_key":"']),
    st.text(max_size=20),
)
def test_what_follows_a_known_beginning_is_hidden(body: str, beginning: str, around: str) -> None:
    assert body not in redact(f"{around} {beginning}{body} {around}")


@pytest.mark.parametrize("piece", ["x-", "a+", "\\", "eyJ-", "key=", "secret:", "://a:", "Bearer ", "sk-a ", '"api_key":"'])
def test_hostile_text_takes_no_hostile_time(piece: str) -> None:
    """Upstream errors are redacted too, and anybody may have written them: the work must grow with the length only.

    A backtracking pattern would need most of a minute here, so that no clock is looked at.
    """
    redact(piece * (100_000 // len(piece)))


def test_a_provider_that_repeats_its_credential() -> None:
    odd = "swordfish-42"
    assert redact(f"bad key {odd}") == f"bad key {odd}", "nothing in its shape says that it is one"
    assert scrub(f"bad key {odd}, really {odd}", odd) == f"bad key {MASK}, really {MASK}"
    assert scrub("none of these", "none") == "none of these"
    assert scrub("half an emoji \ud83d", "").encode() == b"half an emoji ?"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_takes_no_chance_that_another_has() -> None:
    new_id("x", 1)
    assert secrets._chances
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, str(len(secrets._chances)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 9) == b"0" and secrets._chances
    os.close(read)
    os.close(write)


def test_ids_of_one_moment_are_all_different_also_across_threads() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [one for some in pool.map(lambda _: [new_id("x", 1) for _ in range(500)], range(8)) for one in some]
    assert len(set(made)) == len(made) == 4000 and {one[:12] for one in made} == {made[0][:12]}
