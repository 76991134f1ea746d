"""Ports and rows of sign-ins under way: given back when they end anywhere, tried again while somebody else holds them."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from omni_connector.onboarding import Asked
from omni_connector.store import flows
from tests.signing import Place


async def test_a_port_is_given_back_when_the_sign_in_ended_elsewhere(place: Place) -> None:
    place.provide(place.server.profile(redirect_ports=(0,), redirect_path="/cb"))
    flow = await place.start()
    loopback = place.onboarding._keeper.loopback
    assert loopback.ports == (urlsplit(flow["redirect_uri"]).port,)
    await place.node().complete(flow["flow_id"], await place.visit(flow))
    await place.until(lambda: place.clock.asleep)
    place.clock.skip(3)
    await place.until(lambda: loopback.ports == ())


async def test_a_port_that_becomes_free_is_taken_while_the_sign_in_waits(place: Place) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    place.provide(place.server.profile(redirect_ports=(taken.getsockname()[1],), redirect_path="/cb"))
    flow = await place.start()
    assert not flow["listening"]
    taken.close()
    await place.until(lambda: place.clock.asleep)
    place.clock.skip(3)
    await place.until(lambda: place.onboarding._keeper.loopback.ports)
    later = await place.onboarding.status(flow["flow_id"])
    assert (later["listening"], later["port_problem"]) == (True, "")


async def test_a_port_is_listened_on_again_after_a_restart(place: Place) -> None:
    place.provide(place.server.profile(redirect_ports=(0,), redirect_path="/cb"))
    flow = await place.start()
    await place.onboarding.close()
    after = place.node()
    told = await after.status(flow["flow_id"])  # as the dialog that waits asks
    assert told["listening"] and after._keeper.loopback.ports == (urlsplit(flow["redirect_uri"]).port,)
    await after.status(flow["flow_id"])
    await after.complete(flow["flow_id"], await place.visit(flow))
    assert after._keeper.loopback.ports == ()


async def test_and_left_to_the_process_that_has_it(place: Place) -> None:
    place.provide(place.server.profile(redirect_ports=(0,), redirect_path="/cb"))
    flow = await place.start()
    other = place.node()
    assert (await other.status(flow["flow_id"]))["listening"]
    assert other._keeper.loopback.ports == () and place.onboarding._keeper.loopback.ports
    await place.onboarding.cancel(flow["flow_id"])
    place.clock.skip(3)
    await place.until(lambda: not other._keeper.awaits(flow["flow_id"]))


async def test_an_expired_sign_in_gives_its_port_back(place: Place) -> None:
    place.provide(place.server.profile(redirect_ports=(0,), redirect_path="/cb"))
    flow = await place.start()
    await place.until(lambda: place.clock.asleep)
    place.clock.skip(20 * 60)
    await place.until(lambda: place.onboarding._keeper.loopback.ports == ())
    assert (await place.onboarding.status(flow["flow_id"]))["status"] == "expired"


async def test_a_claim_of_a_process_that_died_is_said(place: Place) -> None:
    flow = await place.start()
    keeper, now = place.onboarding._keeper, place.clock.now()
    row = await keeper.flow(flow["flow_id"])
    assert await place.gateway.db.tx(lambda conn: flows.claim(conn, row, now))
    assert (await place.onboarding.status(row.id))["status"] == "waiting"
    place.clock.skip(301)
    told = await place.onboarding.status(row.id)
    assert (told["status"], told["error"]) == ("failed", flows.INTERRUPTED)


async def test_what_nobody_looked_after_ends_with_the_next_beginning(place: Place) -> None:
    forgotten = await place.start()
    await place.onboarding.close()
    place.clock.skip(20 * 60)
    await place.node().start("mock", Asked())
    rows = await place.gateway.db.run(lambda conn: flows.get(conn, place.gateway.vault, forgotten["flow_id"]))
    assert (rows.state, rows.secret) == ("expired", {})
