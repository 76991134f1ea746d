"""Kiro signed in to with a Builder ID or at a company, at the mock authorization server. P-02, P-22, O-03"""

from __future__ import annotations

import pytest

from omni_connector.errors import GatewayError
from omni_connector.onboarding import Asked
from tests.onboarding.test_real_rows import renewed, start
from tests.signing import Place

COMPANY = "https://d-1234567890.awsapps.com/start"


@pytest.mark.parametrize(("options", "page"), [({}, "https://view.awsapps.com/start"), ({"start_url": COMPANY}, COMPANY)])
async def test_a_client_is_registered_and_a_code_typed(place: Place, options: dict[str, str], page: str) -> None:
    flow = await start(place, "kiro", "aws-sso", options=options)
    assert flow["way"] == "device" and place.server.last("device").fields["startUrl"] == page
    registered = place.server.last("register").fields
    assert "codewhisperer:conversations" in registered["scopes"] and registered["clientName"] == "omni-connector"
    place.server.approve(flow["user_code"])
    await place.until(lambda: place.clock.asleep)
    place.clock.skip(5)
    told = await place.ended(flow)
    assert told["status"] == "done"
    account, tokens = place.account(told), place.tokens(told)
    assert (account.provider, account.auth) == ("kiro", "oauth") and tokens.client_id.startswith("sso-") and tokens.client_secret
    fresh = await renewed(place, account)
    assert place.server.good(fresh.access) and fresh.access != account.access
    call = place.server.last("refresh").fields
    assert call["grantType"] == "refresh_token" and call["clientId"] == tokens.client_id


async def test_it_is_off_until_the_user_decides(place: Place) -> None:
    with pytest.raises(GatewayError) as off:
        await place.onboarding.start("kiro", Asked())
    assert off.value.code == "connector_off"
