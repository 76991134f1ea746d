"""Random histories of conversations on accounts that are all well and equal, but for the luck of their answers."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_connector.routing.affinity import TTL_MS, Home, Homes
from omni_connector.routing.candidates import Candidate
from omni_connector.routing.policies import order
from omni_connector.routing.pool import Pool, Slot
from omni_connector.routing.score import PARTS, Price, Saving
from omni_connector.snapshot import Account, Json, Snapshot

NOW = 1_800_000_000_000
MINUTE = 60_000
PRICES: dict[str, tuple[Price | None, Saving | None]] = {
    "nobody asked": (None, None),
    "unknown": (lambda _: None, lambda *_: None),
    "free": (lambda _: Decimal(0), lambda *_: Decimal(0)),
    "next to nothing": (lambda _: Decimal("0.0001"), lambda _, tokens: tokens * Decimal("0.00000001")),
    "dear": (lambda _: Decimal("0.1"), lambda _, tokens: tokens * Decimal("0.000003")),
}


class World:
    """`noise`: how many times shorter or longer than the others an answer may take."""

    def __init__(self, seed: int, accounts: int, prices: str = "unknown", noise: float = 2.0, quota: Json | None = None) -> None:
        self.now, self.rng, self.noise = NOW, Random(seed), noise
        rows = () if quota is None else (quota,)
        self.accounts = [Account(f"acc_{n}", "groq", f"a{n}", quota=rows) for n in range(accounts)]  # type: ignore[arg-type]
        self.pool = Pool(str.lower)
        self.pool.sync(Snapshot(1, tuple(self.accounts)), NOW)
        self.price, self.saving = PRICES[prices]
        self.homes = Homes()

    def choose(self, home: Home | None) -> Account:
        candidates = [Candidate(account, "m") for account in self.accounts]
        placed = order("auto", candidates, self.pool, self.now, self.rng, self.price, home=home, saving=self.saving)
        return placed[0][0].account

    def turn(self, talk: str, tokens: int) -> tuple[Home | None, Account]:
        """The next turn of a conversation: where it was at home, and who answers."""
        home = self.homes.home(talk, self.now)
        account = self.choose(home)
        ms = round(600 * self.noise ** self.rng.uniform(-1, 1))
        self.pool.record(account.id, True, ms, "", self.now, "m")
        self.homes.settle(talk, account.id, tokens, self.now)
        return home, account


TURNS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from([0, 40, 900, 12_000, 300_000]), st.integers(0, 25 * MINUTE)), max_size=25
)


@settings(max_examples=400, deadline=None)
@given(TURNS, st.integers(2, 6), st.sampled_from(sorted(PRICES)), st.integers(0, 2**32))
def test_a_conversation_on_equal_accounts_never_moves(turns: list[tuple[str, int, int]], accounts: int, prices: str, seed: int) -> None:
    world = World(seed, accounts, prices)  # O-19
    for talk, tokens, passed in turns:
        world.now += passed
        home, account = world.turn(talk, tokens)
        assert home is None or account.id == home.account_id


@given(st.floats(0.2, 1), st.floats(0.2, 1), st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 10**6), st.integers(0, 2**32))
def test_a_quota_that_is_plenty_elsewhere_moves_nobody(
    here: float, there: float, ends: int, ends_there: int, tokens: int, seed: int
) -> None:
    world = World(seed, 2)
    rows = [{"name": "5h", "used": 1 - left, "limit": 1, "resets_at": NOW + ms} for left, ms in ((here, ends), (there, ends_there))]
    world.accounts = [Account(a.id, a.provider, a.label, quota=(row,)) for a, row in zip(world.accounts, rows, strict=True)]  # type: ignore[arg-type]
    assert world.choose(Home("acc_0", NOW, tokens)).id == "acc_0"


@pytest.mark.parametrize("accounts", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_new_conversations_still_go_to_everybody(accounts: int, seed: int) -> None:
    """Thousands of turns of conversations that all stay, one after the other, over days: nobody is without new ones for long."""
    world, began, waits = World(seed, accounts), Counter[str](), Counter[str]()
    for number in range(2500):
        world.now += world.rng.randrange(2 * MINUTE)
        talk = f"{number - world.rng.randrange(min(number + 1, 4))}"
        home, account = world.turn(talk, 3000)
        if home is None:
            began[account.id] += 1
            waits.update(other.id for other in world.accounts)
            waits[account.id] = 0
        else:
            assert account.id == home.account_id
        assert max(waits.values(), default=0) < 250
    fair = sum(began.values()) / accounts
    assert all(began[account.id] > fair / 4 for account in world.accounts), began


def test_under_load_new_conversations_are_spread_evenly() -> None:
    world, began = World(1, 3), Counter[str]()
    flying: list[Slot] = []
    for number in range(900):
        world.now += world.rng.randrange(2000)
        _, account = world.turn(f"{number}", 3000)
        began[account.id] += 1
        flying.append(world.pool.acquire(account, "m", world.now))
        if len(flying) > 6:
            world.pool.release(flying.pop(world.rng.randrange(len(flying))))
    assert min(began.values()) > 250, began


# ---------------------------------------------------------------- What is a reason to move


@pytest.mark.parametrize("tokens", [0, 5_000, 200_000])
@pytest.mark.parametrize("prices", ["unknown", "free"])
@pytest.mark.parametrize("reason", ["fails", "often fails", "nearly spent", "much slower", "less wished for", "busy", "rested an hour"])
def test_a_real_reason_moves_it(reason: str, prices: str, tokens: int) -> None:
    world = World(1, 3, prices)
    home, others = world.accounts[0], world.accounts[1:]
    for account in world.accounts:
        for _ in range(20):
            world.pool.record(account.id, True, 600, "", NOW - MINUTE * 2, "m")
    stays = Home(home.id, NOW, tokens)
    assert world.choose(stays) == home
    match reason:
        case "fails":
            world.pool.record(home.id, False, None, "UPSTREAM", NOW, "m")
        case "often fails":
            for n in range(40):
                world.pool.record(home.id, n % 8 == 7, 600, "UPSTREAM", NOW - MINUTE - 1, "m")
        case "nearly spent":
            row: Json = {"name": "5h", "used": 95, "limit": 100, "resets_at": NOW + 200 * MINUTE}
            world.accounts[0] = Account(home.id, "groq", home.label, quota=(row,))  # type: ignore[arg-type]
        case "much slower":
            for _ in range(20):
                world.pool.record(home.id, True, 6000, "", NOW, "m")
        case "less wished for":
            world.accounts[0] = Account(home.id, "groq", home.label, priority=-1)
        case "busy":
            for _ in range(12):
                world.pool.acquire(home, "m", NOW)
        case "rested an hour":
            world.homes.settle("talk", home.id, tokens, NOW - TTL_MS)
            assert world.homes.home("talk", NOW) is None
            return
    assert world.choose(stays).id in {account.id for account in others}


def test_a_few_milliseconds_are_no_reason() -> None:
    """The floor is more than all that two accounts that take up to SLOWER times each other's time can differ by."""
    world = World(1, 2)
    world.pool.record("acc_0", True, 2400, "", NOW, "m")
    world.pool.record("acc_1", True, 600, "", NOW, "m")
    assert world.choose(Home("acc_0", NOW, 0)).id == "acc_0"
    assert world.choose(None).id == "acc_1"
    for mine in (30, 300):  # a server nearby: many times as long, and still next to nothing
        world = World(1, 3)
        for account, ms in zip(world.accounts, (mine, 3, 3), strict=True):
            world.pool.record(account.id, True, ms, "", NOW, "m")
        assert world.choose(Home("acc_0", NOW, 0)).id == "acc_0"
    assert PARTS["staying"].weight * 0.8 > PARTS["quota"].weight * PARTS["quota"].high
