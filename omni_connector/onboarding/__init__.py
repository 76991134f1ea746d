"""Accounts that are connected by signing in: from the first page to an account that works.

    engine.py      Onboarding: start, callback, complete, status, cancel, adopt, revoke; the polling of device codes
    starting.py    what may begin, whose client it is, where the browser comes back to
    signed.py      code → tokens → who it is → what the provider's set-up adds (`Signed`)
    keeping.py     the rows, ports and tasks of sign-ins under way
    values.py      what a sign-in needs from the process, and what it is begun with
    own_client.py  client id and secret that the user supplies
    words.py       what people are told: how to paste, pages, reasons

What a provider needs beyond OAuth (a project, a region, a tier) is found out by its set-up, a function registered by provider id in
SETUPS and called once the tokens are there, before the account is stored:

    async def set_up(account: Account, ask: Ask, *, endpoints: Endpoints) -> Json

`account`: as it will be stored, `providers.complete`d, so `providers.request_headers(provider, account)` carries the access token and
`account.options` has what the user gave ("endpoints", "project", …; for the providers in GOOGLE_PROJECT also "project" from the
environment). `ask(UpstreamRequest) -> (status, headers, body)` goes by the account's proxy, with a deadline, never following redirects.
Returned: the options that change, such as {"project": "p-1"}; an "identity" among them is merged into the one that is known. A
GatewayError it raises ends the sign-in with its message (name the variable to set, or the link to visit).
"""

from omni_connector.onboarding.engine import Onboarding
from omni_connector.onboarding.signed import SETUPS, Ask, Setup, Signed
from omni_connector.onboarding.starting import CALLBACK_PATHS
from omni_connector.onboarding.values import Asked, Doors

__all__ = ["CALLBACK_PATHS", "SETUPS", "Ask", "Asked", "Doors", "Onboarding", "Setup", "Signed"]
