// What providers say that a day cost, beside what our books say: by how much they differ, why that may be, and what to do.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { edit, providerName } from "../actions.js";
import { get, query } from "../api.js";
import { usd } from "../format.js";
import { accounts, providersById, resync } from "../live.js";
import { counted, said, t } from "../texts.js";
import { Button, Empty, html, Skeleton, Status } from "../ui.js";

const SHOWN = 7;
const COLUMNS = 7;
const DAY = 86_400_000;
const GROWS_MS = 3 * DAY; // From its begin on: until then a provider may add to a day.
const STATES = {
  equal: [t("Equal"), "ok", "circle"],
  differs: [t("Differs"), "bad", "diamond"],
  more: [t("More than ours"), "warn", "half"],
  unknown: [t("Unknown"), "mute", "ring"],
};

const signed = (text) => (text === null ? "–" : Number(text) < 0 ? "−" + usd(text.slice(1)) : Number(text) ? "+" + usd(text) : "$0");

/** "+5.3 %" of the larger figure, as the tolerance is; "" where there is nothing to divide. */
function percent(day) {
  const most = Math.max(Math.abs(Number(day.theirs_usd)), Math.abs(Number(day.ours_usd)));
  if (day.difference_usd === null || !most || !Number(day.difference_usd)) return "";
  const part = (100 * Number(day.difference_usd)) / most;
  if (Math.abs(part) < 0.05) return "<0.1 %";
  return `${part < 0 ? "−" : "+"}${Math.abs(part).toFixed(Math.abs(part) < 10 ? 1 : 0)} %`;
}

/** Why, in a few words. */
function reason(day) {
  if (day.state === "equal") return t("within the tolerance");
  if (day.theirs_usd === null) return day.words;
  if (day.unpriced && Number(day.difference_usd) > 0) return counted(day.unpriced, "{n} of our requests has no known price", "{n} of our requests have no known price");
  if (day.state === "more") return t("others may use the same organisation");
  return Number(day.difference_usd) > 0 ? t("the provider counts more than these books") : t("the provider counts less than these books");
}

/** What may have made the difference, one sentence each. */
function causes(day) {
  const more = Number(day.difference_usd) > 0;
  return [
    day.theirs_usd === null ? day.words : null,
    day.unpriced && more ? t("Requests without a known price are not in our books' sum. Give their models a price, then price the past anew.") : null,
    day.state === "more" ? t("The provider tells about the whole organisation. Name the part that this account is, and only that is compared.") : null,
    day.state === "differs" && more ? t("Programs may use the same key past this gateway, or the price here is lower than what the provider takes.") : null,
    day.state === "differs" && !more ? t("The price here may be higher than what the provider takes: a discount, a free share, a price that fell.") : null,
    day.theirs_usd !== null && Date.parse(day.day) + GROWS_MS > Date.now() ? t("The provider may still add to this day. It is asked again tomorrow.") : null,
  ].filter(Boolean);
}

function Why({ day }) {
  const account = accounts.value.find((other) => other.id === day.account.id);
  return html`<tr class="why-row"><td class="c-why" colspan=${COLUMNS}><div class="stack gap12"><ul class="sm t2 reasons">${causes(day).map((one) => html`<li key=${one} class="wrap">${one}</li>`)}</ul>
    <div class="flex wrapping">
      <a class="btn small" href=${"#/usage" + query({ period: "custom", from: day.day, to: day.day, by: "model" })}>${t("This day by model")}</a>
      ${day.unpriced || day.state === "differs" ? html`<a class="btn small" href="#/prices">${t("Set a price")}</a>` : null}
      ${account && (day.state === "more" || day.theirs_usd === null) ? html`<${Button} small onClick=${() => edit(account, day.state === "more" ? "usage_project" : "usage_key")}>${day.state === "more" ? t("Name the part") : t("Another key")}<//>` : null}
      ${account ? html`<${Button} small kind="ghost" onClick=${() => edit(account)}>${t("Edit {name}", { name: account.label })}<//>` : null}</div></div></td></tr>`;
}

function Day({ day, open, onOpen }) {
  const known = day.theirs_usd !== null;
  const part = percent(day);
  return html`<tr><td class="nowrap c-day">${day.day}</td><td class="c-name"><span class="stack none"><span class="strong cut">${day.account.label}</span><span class="xs t3 cut">${providerName(day.provider)}${day.scope && day.scope !== "organisation" ? `, ${day.scope}` : ""}</span></span></td>
    <td class="c-state"><span class="flex gap5"><${Status} words=${STATES[day.state] || [day.state, "mute", "ring"]} title=${day.words} />${day.state === "equal" ? null : html`<${Button} small kind="link" aria-expanded=${String(open)} label=${t("Why {day} of {name} differs", { day: day.day, name: day.account.label })} onClick=${onOpen}>${t("Why?")}<//>`}</span></td>
    <td class="num p2">${known ? html`<span title=${"$" + day.theirs_usd}>${usd(day.theirs_usd)}</span>` : html`<span class="t4">–</span>`}</td>
    <td class="num p2">${day.ours_usd === null ? html`<span class="t4">–</span>` : html`<span title=${"$" + day.ours_usd}>${usd(day.ours_usd)}</span>`}</td>
    <td class="num c-due"><span class="stack none"><span title=${day.difference_usd === null ? null : "$" + day.difference_usd}>${signed(day.difference_usd)}</span>${part ? html`<span class="xs t3" title=${t("of the larger of the two figures")}>${part}</span>` : null}</span></td>
    <td class="p4 t2 wrap c-words">${reason(day)}</td></tr>${open ? html`<${Why} day=${day} />` : null}`;
}

/** Why an account is not compared, in words; "" where only a key is missing, which the button says. */
function lacks(one) {
  if (one.words === "switched off") return t("switched off");
  const provider = providersById.value.get(one.provider);
  return provider && provider.usage_key ? t("needs {key}", { key: said(provider.usage_key.needs) }) : one.words;
}

/** Accounts whose provider would tell, and is not asked yet. */
function Silent({ list, alone }) {
  if (!list.length) return null;
  const known = (one) => accounts.value.find((other) => other.id === one.id);
  const open = (one, focus) => known(one) && edit(known(one), focus);
  const takesKey = (one) => one.words !== "switched off" && known(one) && known(one).auth !== "oauth"; // The dialog of a sign-in has no keys.
  const rows = html`<ul class="silent-list">${list.map((one) => html`<li key=${one.id} class="flex gap5"><span class="grow wrap"><${Button} kind="link" onClick=${() => open(one)}>${one.label}<//> <span class="t3 sm">${lacks(one)}</span></span>
    ${takesKey(one) ? html`<${Button} small icon="plus" label=${t("Add a key to {name}", { name: one.label })} onClick=${() => open(one, "usage_key")}>${t("Add a key")}<//>` : null}</li>`)}</ul>`;
  return alone ? html`<div class="sheet pad stack gap12"><div class="stack tight"><span class="strong">${t("No key that may read the bill")}</span><span class="t3 sm">${t("The key that serves requests may not. Add a second one to the account: it is stored encrypted and never shown again.")}</span></div>${rows}</div>`
    : html`<div class="stack"><span class="t3 sm">${t("Not compared")}</span>${rows}</div>`;
}

export function Reconciled() {
  const [told, setTold] = useState(null);
  const [failed, setFailed] = useState("");
  const [all, setAll] = useState(false);
  const [open, setOpen] = useState("");
  const keys = accounts.value.map((account) => `${account.id} ${account.enabled} ${!!(account.options || {}).usage_key}`).join("\n"); // One that is given a key is compared.
  useEffect(() => {
    get("/api/reconciliations").then((data) => { setTold(data); setFailed(""); }).catch((error) => setFailed(error.message));
  }, [resync.value, keys]);
  const days = told ? told.days : [];
  const shown = all ? days : days.slice(0, SHOWN);
  const silent = told ? told.accounts.filter((one) => !one.compared) : [];
  const keyOf = (day) => day.day + day.account.id;
  const { usd: least, share } = (told && told.tolerance) || {};
  return html`<section class="section" aria-label=${t("Compared with the providers")}><div class="section-head"><h2>${t("Compared with the providers")}</h2><span class="t3 sm">${t("once a day, days of UTC")}${least ? " · " + t("up to {sum} or {n} % is equal", { sum: usd(least), n: Number((100 * Number(share)).toFixed(2)) }) : ""}</span></div>
    ${failed ? html`<p class="bad sm" role="alert">${failed}</p>` : !told ? html`<${Skeleton} rows=${2} />`
    : days.length ? html`<div class="sheet"><table class="grid reconciled desk"><thead><tr><th scope="col">${t("Day")}</th><th scope="col">${t("Account")}</th><th scope="col">${t("State")}</th><th scope="col" class="num p2">${t("Provider says")}</th><th scope="col" class="num p2">${t("Books say")}</th><th scope="col" class="num">${t("Difference")}</th><th scope="col" class="p4">${t("Why")}</th></tr></thead>
      <tbody>${shown.map((day) => html`<${Day} key=${keyOf(day)} day=${day} open=${open === keyOf(day)} onOpen=${() => setOpen(open === keyOf(day) ? "" : keyOf(day))} />`)}</tbody></table></div>
      ${days.length > shown.length ? html`<div class="list-foot"><${Button} onClick=${() => setAll(true)}>${counted(days.length, "Show all {n} day", "Show all {n} days")}<//></div>` : null}`
    : told.accounts.length > silent.length ? html`<p class="t3 sm">${t("No day was compared yet.")}</p>`
    : silent.length ? null : html`<${Empty} title=${t("No provider of yours tells what a day cost")}>${t("OpenAI, Anthropic and OpenRouter tell what a day cost: an account of theirs with a key that may read it is compared here.")}<//>`}
    <${Silent} list=${silent} alone=${!!told && !days.length && told.accounts.length === silent.length} /></section>`;
}
