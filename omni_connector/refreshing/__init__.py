"""Keeps sign-ins alive: renews access tokens before they end, and when a provider takes one no more (DESIGN.md, laws 5 and 6).

- One refresh at a time per account: one task inside the process, which outlives whoever asked; one lease with a fence between
  processes, for which the others wait.
- The journal says that a refresh token is being spent before it is sent, and the new pair is on disk before it is used. So the answer
  to a crash at any moment is known: nothing sent yet, or sent and unanswered (tried once more), or done.
- Never on top of a 429, never in a loop: a refusal that passes has a time before which nobody asks again, a final one says "sign in
  again" and is kept with the account.

How it is put together, once per process:

    hands = Hands(accounts=lambda: pool.accounts, endpoints=lambda: endpoints, client=…, renewed=…, refused=…)
    refresher = Refresher(db, vault, upstream, hands, process_id, now_ms, rng)
    Renewals(db, refresher, hands, now_ms, rng)        # the jobs of kind "token-refresh", for `Jobs(by_need=…)`
    await refresher.renew(account, rejected)           # the relay's door; `rejected`: the access token that was refused, or ""
    await refresher.renew(account, account.access)     # "refresh now": any token but this one
    await refresher.close()                            # at the end, before `Jobs.close` frees this process's leases

`jobs.recover` and `Jobs.close` free the leases of processes that ended (`store.refreshes.unlease`); without that, successors wait for the
lease to run out (a minute).
"""

from __future__ import annotations

from omni_connector.refreshing.due import due_at
from omni_connector.refreshing.refresher import Hands, Refresher
from omni_connector.refreshing.renewals import KIND, Renewals

__all__ = ["KIND", "Hands", "Refresher", "Renewals", "due_at"]
