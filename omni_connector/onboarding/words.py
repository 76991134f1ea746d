"""What people are told during a sign-in. Nothing of a code, a token or a state stands in any of it."""

from __future__ import annotations

from omni_connector.loopback import Page
from omni_connector.providers import Provider, SignIn

ENDED = {
    "claimed": "This sign-in is being completed already: its code was used. Look at the accounts in a moment.",
    "done": "This sign-in is complete already, and its code is used up. Begin a new one to sign in again.",
    "failed": "This sign-in has failed, and its code is used up. Begin a new one.",
    "expired": "This sign-in took longer than 20 minutes and has ended. Begin a new one.",
    "cancelled": "This sign-in was cancelled. Begin a new one.",
}
"""State of a flow → what is said to somebody who still wants to finish it."""
CLOSE = "You can close this page."
UNKNOWN = Page(False, "Not signed in", "This sign-in is not known here, or it ended long ago. Begin it again in omni-connector.")
ELSEWHERE = Page(
    False,
    "One more step",
    "This sign-in was begun in another browser. Copy the address of this page and paste it there, where omni-connector waits for it.",
)
UNDER_WAY = Page(True, "Signed in", f"omni-connector is setting the account up and shows it in a moment. {CLOSE}")
WRONG_SESSION = "This sign-in was begun in another session of the dashboard. Go on there, or begin a new one here."
NEEDS_STATE = "A code alone is not enough here. Paste the whole address of the page that you ended at."
NO_API = "options.endpoints.inference: say where the API itself is that this sign-in is for, such as https://host/v1."
INTERNAL = "The sign-in failed inside omni-connector. The log has the reason."
TOO_SLOW = "The provider took too long to set the account up. Begin the sign-in again."


def signed_in(provider: Provider) -> Page:
    return Page(True, "Signed in", f"Your account at {provider.label} is connected. {CLOSE}")


def refused(message: str) -> Page:
    return Page(False, "Not signed in", message)


def manual(profile: SignIn, way: str, redirect_uri: str) -> str:
    """How to finish by hand when the browser cannot come back by itself. (P-25)"""
    if way == "device":
        return "Open the page on any device, type the code there and allow the access. omni-connector notices by itself."
    if redirect_uri == profile.pasted_redirect:
        return "Open the address, sign in, copy the code that the page shows and paste it here."
    return (
        f"Open the address and sign in. If the browser then cannot load a page at {redirect_uri}, that is fine: copy the whole address of "
        "that page and paste it here."
    )


def port_problem(ports: tuple[int, ...], provider: Provider) -> str:
    named = " and ".join(str(port) for port in ports)
    verb = "are" if len(ports) > 1 else "is"
    return (
        f"{provider.label} sends the browser to port {named} of this machine, which {verb} in use by another program. Close that program, "
        "or sign in anyway and paste the address of the page that you end at."
    )


def switched_off(provider: Provider) -> str:
    return (
        f"{provider.label} is switched off until you decide for it. Switch it on by the setting `connectors`, for example: "
        f"omni-connector config set connectors {provider.id}"
    )


def no_sign_in(provider: Provider) -> str:
    where = f" Keys: {provider.key_url}" if provider.key_url else ""
    return f"{provider.label} is not connected by signing in; add the account with its key or address instead.{where}"
