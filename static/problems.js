// What needs the user: the overview's strips and the number in the favicon. And the strip for a lost connection, which every view has.
import { clearCooldown, connect, createKey, edit, setEnabled, signInAgain, test } from "./actions.js";
import { keys, link, open, requests, shownAccounts } from "./live.js";
import { computed } from "./vendor/signals.mjs";
import { Button, html, Icon } from "./ui.js";

/** What needs the user: [{id, tone, title, text, action, run}]. Empty when all is well; its length is the favicon's number. */
export const problems = computed(() => {
  const list = shownAccounts.value;
  const out = [];
  for (const account of list) {
    const why = account.status_reason || (account.cooldown && account.cooldown.reason) || "";
    const one = (tone, title, action, run) => out.push({ id: account.id, tone, title: `${account.label} ${title}`, text: why, action, run });
    if (account.status === "needs_login" && account.auth === "oauth") one("bad", "needs a new sign-in", "Sign in again", () => signInAgain(account));
    else if (account.status === "needs_login") one("bad", account.auth === "cli" ? "needs its program signed in" : "needs a new key", account.auth === "cli" ? "Look" : "Reconnect", () => edit(account, "api_key"));
    else if (account.status === "error") one("bad", "does not work", "Test", () => test(account));
    else if (account.status === "locked" || (account.status === "cooling" && account.cooldown && account.cooldown.source === "terminal")) one("warn", "is locked", "Clear cooldown", () => clearCooldown(account));
  }
  if (!list.length) {
    if (keys.value.some((key) => key.status === "active") && requests.value.length) out.push({ id: "none", tone: "bad", title: "No account is connected", text: "Every request fails until one is.", action: "Add account", run: () => connect() });
  } else if (list.every((account) => account.status === "disabled")) {
    out.push({ id: "off", tone: "bad", title: list.length === 1 ? `${list[0].label} is switched off` : "Every account is switched off", text: "Requests have nowhere to go.", action: "Enable", run: () => list.forEach((account) => setEnabled(account, true)) });
  } else if (list.filter((account) => account.status !== "disabled").every((account) => account.status === "cooling")) {
    const soonest = [...list].filter((account) => account.cooldown).sort((a, b) => a.cooldown.until - b.cooldown.until)[0];
    if (soonest && soonest.cooldown.source !== "terminal") out.push({ id: "cooling", tone: "warn", title: "Every account is cooling", text: soonest, action: "Clear cooldown", run: () => clearCooldown(soonest) });
  }
  if (keys.value.length && !keys.value.some((key) => key.status === "active")) out.push({ id: "keys", tone: "warn", title: "No client key is active", text: "Programs are refused until there is one.", action: "Create key", run: createKey });
  return out;
});

export function Offline() {
  if (link.value !== "reconnecting") return null;
  return html`<div class="strip warn offline" role="status"><${Icon} name="wifi-off" /><div class="strip-text"><span class="strong">Reconnecting to the server</span><span class="t2">What you see may be old. Changes are not possible right now.</span></div><${Button} small onClick=${open}>Try now<//></div>`;
}
