from __future__ import annotations

from omni_connector.providers import complete
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens, decode

KEPT = Tokens("acc-1", "ref-1", 1_000, scope="a b", extra={"region": "eu"})


def test_what_was_written_is_read() -> None:
    assert decode(KEPT.encode()) == KEPT


def test_a_key_is_no_tokens_and_nothing_secret_is_shown() -> None:
    assert decode("sk-123") is None and decode("{}") is None and decode("[1]") is None
    assert "acc-1" not in repr(KEPT) and "ref-1" not in repr(KEPT)


def test_an_account_proves_itself_with_the_access_token() -> None:
    signed_in = complete(Account("acc_1", "openai", "o", auth="oauth", secret=KEPT.encode()))
    assert (signed_in.access, signed_in.access_until) == ("acc-1", 1_000)
    keyed = complete(Account("acc_2", "openai", "k", secret="sk-1"))
    assert (keyed.access, keyed.access_until) == ("sk-1", None)
