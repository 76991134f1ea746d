// What providers say that a day cost, beside what our books say.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { edit, providerName } from "../actions.js";
import { get } from "../api.js";
import { plural, usd } from "../format.js";
import { accounts, resync } from "../live.js";
import { Button, html, Skeleton, Status } from "../ui.js";

const SHOWN = 7;
const STATES = {
  equal: ["Equal", "ok", "circle"],
  differs: ["Differs", "bad", "diamond"],
  more: ["More than ours", "warn", "half"],
  unknown: ["Unknown", "mute", "ring"],
};

const signed = (text) => (text === null ? "–" : Number(text) < 0 ? "−" + usd(text.slice(1)) : Number(text) ? "+" + usd(text) : "$0");

function Day({ day }) {
  const known = day.theirs_usd !== null;
  return html`<tr><td class="nowrap c-day">${day.day}</td><td class="c-name"><span class="stack none"><span class="strong cut">${day.account.label}</span><span class="xs t3 cut">${providerName(day.provider)}${day.scope && day.scope !== "organisation" ? `, ${day.scope}` : ""}</span></span></td>
    <td class="c-state"><${Status} words=${STATES[day.state] || [day.state, "mute", "ring"]} title=${day.words} /></td>
    <td class="num p2">${known ? html`<span title=${"$" + day.theirs_usd}>${usd(day.theirs_usd)}</span>` : html`<span class="t4">–</span>`}</td>
    <td class="num p2">${day.ours_usd === null ? html`<span class="t4">–</span>` : html`<span title=${"$" + day.ours_usd}>${usd(day.ours_usd)}</span>`}</td>
    <td class="num c-due">${signed(day.difference_usd)}</td><td class="p4 t2 wrap c-words">${day.words}</td></tr>`;
}

/** Accounts whose provider would tell, and is not asked yet. */
function Silent({ list }) {
  const open = (one) => {
    const account = accounts.value.find((other) => other.id === one.id);
    if (account) edit(account);
  };
  if (!list.length) return null;
  return html`<p class="t3 sm">Not compared: ${list.map((one, i) => html`<span key=${one.id}>${i ? "; " : ""}<${Button} kind="link" small onClick=${() => open(one)}>${one.label}<//> (${one.words})</span>`)}</p>`;
}

export function Reconciled() {
  const [told, setTold] = useState(null);
  const [failed, setFailed] = useState("");
  const [all, setAll] = useState(false);
  useEffect(() => {
    get("/api/reconciliations").then((data) => { setTold(data); setFailed(""); }).catch((error) => setFailed(error.message));
  }, [resync.value]);
  const days = told ? told.days : [];
  const shown = all ? days : days.slice(0, SHOWN);
  const silent = told ? told.accounts.filter((one) => !one.compared) : [];
  return html`<section class="section" aria-label="Compared with the providers"><div class="section-head"><h2>Compared with the providers</h2><span class="t3 sm">once a day, days of UTC</span></div>
    ${failed ? html`<p class="bad sm" role="alert">${failed}</p>` : !told ? html`<${Skeleton} rows=${2} />`
    : days.length ? html`<div class="sheet"><table class="grid reconciled desk"><thead><tr><th scope="col">Day</th><th scope="col">Account</th><th scope="col">State</th><th scope="col" class="num p2">Provider says</th><th scope="col" class="num p2">Books say</th><th scope="col" class="num">Difference</th><th scope="col" class="p4">Why</th></tr></thead>
      <tbody>${shown.map((day) => html`<${Day} key=${day.day + day.account.id} day=${day} />`)}</tbody></table></div>
      ${days.length > shown.length ? html`<div class="list-foot"><${Button} onClick=${() => setAll(true)}>Show all ${plural(days.length, "day")}<//></div>` : null}`
    : html`<p class="t3 sm">${silent.length ? "No day was compared yet." : "OpenAI, Anthropic and OpenRouter tell what a day cost: an account of theirs with a key that may read it is compared here."}</p>`}
    <${Silent} list=${silent} /></section>`;
}
