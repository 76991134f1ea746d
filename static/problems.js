// What needs the user: the overview's strips and the number in the favicon. And the strips that every view has: the connection is lost, the database is away.
import { absolute, clock } from "./format.js";
import { clearCooldown, connect, createKey, edit, setEnabled, signInAgain, test } from "./actions.js";
import { keys, link, open, requests, shownAccounts, system, unread } from "./live.js";
import { counted, parts, said, t } from "./texts.js";
import { computed } from "./vendor/signals.mjs";
import { Button, html, Icon } from "./ui.js";

/** What needs the user: [{id, tone, title, text, action, run}]. Empty when all is well; its length is the favicon's number. */
export const problems = computed(() => {
  const list = shownAccounts.value;
  const out = [];
  for (const account of list) {
    const why = account.status_reason || (account.cooldown && account.cooldown.reason) || "";
    const name = account.label;
    const one = (tone, title, action, run) => out.push({ id: account.id, tone, title, text: said(why), action, run });
    if (account.status === "needs_login" && account.auth === "oauth") one("bad", t("{name} needs a new sign-in", { name }), t("Sign in again"), () => signInAgain(account));
    else if (account.status === "needs_login") one("bad", account.auth === "cli" ? t("{name} needs its program signed in", { name }) : t("{name} needs a new key", { name }), account.auth === "cli" ? t("Look") : t("Reconnect"), () => edit(account, "api_key"));
    else if (account.status === "error") one("bad", t("{name} does not work", { name }), t("Test"), () => test(account));
    else if (account.status === "locked" || (account.status === "cooling" && account.cooldown && account.cooldown.source === "terminal")) one("warn", t("{name} is locked", { name }), t("Clear cooldown"), () => clearCooldown(account));
  }
  if (!list.length) {
    if (keys.value.some((key) => key.status === "active") && requests.value.length) out.push({ id: "none", tone: "bad", title: t("No account is connected"), text: t("Every request fails until one is."), action: t("Add account"), run: () => connect() });
  } else if (list.every((account) => account.status === "disabled")) {
    out.push({ id: "off", tone: "bad", title: list.length === 1 ? t("{name} is switched off", { name: list[0].label }) : t("Every account is switched off"), text: t("Requests have nowhere to go."), action: t("Enable"), run: () => list.forEach((account) => setEnabled(account, true)) });
  } else if (list.filter((account) => account.status !== "disabled").every((account) => account.status === "cooling")) {
    const soonest = [...list].filter((account) => account.cooldown).sort((a, b) => a.cooldown.until - b.cooldown.until)[0];
    if (soonest && soonest.cooldown.source !== "terminal") out.push({ id: "cooling", tone: "warn", title: t("Every account is cooling"), text: soonest, action: t("Clear cooldown"), run: () => clearCooldown(soonest) });
  }
  if (keys.value.length && !keys.value.some((key) => key.status === "active")) out.push({ id: "keys", tone: "warn", title: t("No client key is active"), text: t("Programs are refused until there is one."), action: t("Create key"), run: createKey });
  return out;
});

function Offline() {
  if (link.value !== "reconnecting") return null;
  return html`<div class="strip warn offline" role="status"><${Icon} name="wifi-off" /><div class="strip-text"><span class="strong">${t("Reconnecting to the server")}</span><span class="t2">${t("What you see may be old. Changes are not possible right now.")}</span></div><${Button} small onClick=${open}>${t("Try now")}<//></div>`;
}

/** The books are written to a file meanwhile (spill.py), so most often nobody else notices. */
function Away() {
  const away = system.value && system.value.database_away;
  if (!away || link.value !== "live") return null;
  const since = html`<time datetime=${new Date(away.since).toISOString()} title=${absolute(away.since)}>${Date.now() - away.since < 86400000 ? clock(away.since) : absolute(away.since)}</time>`;
  const waiting = !away.rows ? "" : counted(away.rows, "{n} row waits in the spill file and goes into the books once the database is back.", "{n} rows wait in the spill file and go into the books once the database is back.");
  return html`<div class="strip warn away" role="status"><${Icon} name="triangle-alert" /><div class="strip-text"><span class="strong">${parts("The database is away since {time}", { time: since })}</span>
    <span class="t2">${away.new_requests ? t("Requests go on.") : t("Requests under way are finished, new ones are refused.")} ${waiting}${unread.value.length ? " " + t("The request log and the figures of today cannot be read meanwhile.") : ""}</span></div></div>`;
}

export const Notices = () => html`<${Offline} /><${Away} />`;
