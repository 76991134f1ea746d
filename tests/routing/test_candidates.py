from omni_connector.routing.candidates import Candidate, key_closes, key_refuses, once
from omni_connector.snapshot import Account, ClientKey

ACCOUNT = Account(id="acc_1", provider="openai", label="work")


def key(**limits: tuple[str, ...]) -> ClientKey:
    return ClientKey("key_1", "laptop", "omni-Ab3d…", "hash", 0, **limits)  # type: ignore[arg-type]


def test_a_candidate_stays_where_it_comes_first() -> None:
    a, b = Candidate(ACCOUNT, "a"), Candidate(ACCOUNT, "b")
    assert once([[a, a], [], [b, a], [a]]) == ((a,), (b,))


def test_a_key_is_held_to_its_providers_and_models() -> None:
    candidate = Candidate(ACCOUNT, "gpt-5", "high")
    assert key_refuses(None, "x", candidate) is None
    assert key_refuses(key(providers=("groq",)), "x", candidate) == "this omni-key may not use provider openai"
    assert key_refuses(key(models=("gpt-4*",)), "x", candidate) == "this omni-key may not use model gpt-5"
    for pattern in ("X", "GPT-5", "openai/*", "openai/high/gpt-5"):
        assert key_refuses(key(models=(pattern,)), "x", candidate) is None
    assert [key_closes(limit, "OpenAI") for limit in (None, key(), key(providers=("openai",)), key(providers=()))] == [False] * 3 + [True]
