"""Each step of a refresh is one transaction; the rest is told by test_refresher.py, through the door."""

from __future__ import annotations

from omni_connector.refreshing.books import Books, Ended, Held, Wish
from omni_connector.store import accounts as rows
from omni_connector.store.refreshes import FOREVER
from omni_connector.tokens import Tokens
from tests.refreshing.conftest import House


def books(house: House, owner: str) -> Books:
    return Books(house.db, house.vault, owner, lambda: house.now, lambda account: 300)


async def test_look_take_store(house: House) -> None:
    account = await house.sign_in(life_s=5)
    one, two, wish = books(house, "prc_1"), books(house, "prc_2"), Wish("acc_1", account.access)
    assert await one.look(wish) is True and await one.look(Wish("acc_1", "another")) == Ended(account.secret)
    held = await one.take(wish)
    assert isinstance(held, Held) and await two.take(wish) is None and await two.look(wish) is False
    fresh = Tokens("new", "new-refresh", house.now + 3_600_000, refreshed_at=house.now)
    await house.db.tx(lambda conn: rows.set_state(conn, "acc_1", "needs_login", "why"))
    assert await one.store(held, fresh) == "stored"
    after = await house.reload()
    assert (await house.tokens(), after.state, after.state_reason) == (fresh, "ok", "")
    assert await one.store(held, fresh) == "lost", "the lease ended with it"
    assert await two.take(wish) == Ended(after.secret) and (await house.journal()).owner is None
    assert account.access not in repr(wish)


async def test_a_refusal_locks_only_what_was_refused(house: House) -> None:
    account = await house.sign_in(life_s=5)
    mine, wish = books(house, "prc_1"), Wish("acc_1", account.access)
    held = await mine.take(wish)
    assert isinstance(held, Held)
    await house.sign_in()
    assert await mine.fail(held, "no; sign in again.", FOREVER) == "noted"
    assert (await house.reload()).state == "ok"
    assert await mine.fail(held, "no", FOREVER) == "lost"


async def test_what_is_known_of_a_person_is_only_added_to(house: House) -> None:
    await house.sign_in(options={"identity": {"email": "a@x.y", "note": 1}, "region": "eu"})
    mine = books(house, "prc_1")
    await mine.note_person("acc_1", {"plan": "pro"})
    options = (await house.reload()).options
    assert options["identity"] == {"email": "a@x.y", "note": 1, "plan": "pro"} and options["region"] == "eu"
