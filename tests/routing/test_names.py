from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from omni_connector.catalog import family, levels
from omni_connector.routing.choosing import MOST
from omni_connector.routing.names import Asking, names_of
from omni_connector.snapshot import EMPTY, Account, ClientKey, Snapshot

WORDS = ["auto", "opus", "cost-priority", "intelligence-priority", "gpt-5", "claude-opus-4-5", "low", "a", "b", "p", "openai", "x"]
NAMES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map("/".join)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    accounts = tuple(
        Account(
            id=f"acc_{n}",
            provider=draw(st.sampled_from(["openai", "claude-code", "p"])),
            label=label,
            models=tuple(draw(st.lists(NAMES, max_size=3, unique=True))),
            prefix=draw(st.sampled_from(["", "p", "x/"])),
            model_map=draw(st.dictionaries(NAMES, NAMES, max_size=2)),
            enabled=draw(st.booleans()),
            open_models=draw(st.booleans()),
        )
        for n, label in enumerate(["a", "b", "opus"])
    )
    targets = st.lists(NAMES, max_size=3).map(tuple)
    members = st.lists(st.sampled_from(["a", "b::gpt-5", "acc_2::x", "gone"]), max_size=3).map(tuple)
    chains = st.dictionaries(NAMES, st.lists(members, max_size=3).map(tuple), max_size=2)
    return Snapshot(1, accounts, aliases=draw(st.dictionaries(NAMES, targets, max_size=3)), chains=draw(chains))


@given(snapshots(), NAMES, st.sampled_from(["", "openai", "p"]), st.sampled_from([None, ("gpt-5",), ("x",)]))
def test_whatever_is_connected_a_name_ends_somewhere_once(
    snapshot: Snapshot, name: str, provider: str, models: tuple[str, ...] | None
) -> None:
    key = None if models is None else ClientKey("key_1", "k", "", "", 0, models=models)
    asking = Asking(key, provider, lambda account, model: Decimal(len(model)), lambda model: len(model) or None)
    found = names_of(snapshot, family, EMPTY, levels).find(name, asking)
    if found is None:
        return
    keys = [candidate.key for candidate in found.candidates]
    assert found.requested == name
    assert len(keys) == len(set(keys)), "a candidate stands in one tier"
    assert all(found.tiers), "no tier is empty"
    assert {candidate.account.id for candidate in found.candidates} <= {account.id for account in snapshot.accounts}
    assert found.tiers or found.note or found.kind in ("cost-priority", "intelligence-priority")


def test_a_large_list_is_bounded_and_leaves_room_for_the_others() -> None:
    big = Account(id="big", provider="openrouter", label="big", discovered=tuple(f"v/m{n}" for n in range(400)))
    small = Account(id="small", provider="openai", label="small", models=("gpt-5",))
    asked: list[str] = []

    def price(account: Account, model: str) -> Decimal | None:
        asked.append(model)
        return None if account.id == "big" else Decimal(9)

    found = names_of(Snapshot(1, (big, small)), family, EMPTY, levels).find("cost-priority", Asking(price=price))
    assert found is not None
    assert found.tiers[0][0].account.id == "small"
    assert len(found.candidates) <= MOST
    assert len(asked) == 401, "each price is asked for once"


def test_the_index_of_one_snapshot_is_built_once() -> None:
    snapshot = Snapshot(1, (Account(id="a", provider="openai", label="a"),))
    assert names_of(snapshot, family, EMPTY, levels) is names_of(snapshot, family, EMPTY, levels)
    assert names_of(Snapshot(2), family, EMPTY, levels).snapshot.version == 2
