// What is left on every account: windows with the time they begin anew, whether they last, money. What nobody tells is said to be unknown.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { connect, edit } from "../actions.js";
import { get, post } from "../api.js";
import { absolute, exact, num, spending } from "../format.js";
import { locale } from "../language.js";
import { minute, providersById, putAccount, ready, resync, shownAccounts } from "../live.js";
import { Countdown, style } from "../pieces.js";
import { COMMON } from "../quota.js";
import { counted, parts, t } from "../texts.js";
import { Ago, accountWords, Button, Dot, Empty, html, Icon, Monogram, oops, Skeleton, Status, toast } from "../ui.js";

await style("/static/css/late.css");

const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const LENGTHS = { minute: MINUTE, hour: HOUR, day: DAY, daily: DAY, week: 7 * DAY, weekly: 7 * DAY, month: 30 * DAY, monthly: 30 * DAY };
const UNITS = { m: MINUTE, min: MINUTE, h: HOUR, d: DAY, w: 7 * DAY };
const EARLY = 0.1; // Before so much of a window is over, its pace says nothing.
const HIGH = 65, CRITICAL = 90;
const WHERE = { live: t("the provider said so"), stale: t("an old answer of the provider"), estimated: t("added up from our own books") };

const common = (word) => COMMON[word] || word || "";
const known = (quota) => quota.state !== "unknown" && quota.limit > 0 && quota.used !== null && quota.used !== undefined;
const share = (quota) => (known(quota) ? quota.used / quota.limit : -1);

/** How long a window is, by its name: "5h", "week". Null where the name does not say. */
function lengthOf(name) {
  const text = String(name || "").toLowerCase();
  const counted = /^(\d+)\s*(m|min|h|d|w)$/.exec(text);
  return counted ? Number(counted[1]) * UNITS[counted[2]] : LENGTHS[text] || null;
}

/** {kind: spent | ends | lasts | early | unknown, at}. The server's forecast looks at the last hour; where it says nothing, the pace of the window so far. */
export function outlook(quota, at) {
  if (!known(quota)) return { kind: "unknown" };
  if (quota.used >= quota.limit) return { kind: "spent", at: quota.resets_at };
  if (quota.forecast) return { kind: "ends", at: quota.forecast.ends_at };
  const long = lengthOf(quota.name);
  if (!quota.resets_at || !long || quota.resets_at <= at || quota.state === "stale") return { kind: "unknown" };
  const over = at - (quota.resets_at - long);
  if (!quota.used) return { kind: "lasts", part: 0 };
  if (over < EARLY * long) return { kind: "early" };
  const part = (share(quota) * long) / over;
  return part > 1 ? { kind: "ends", at: at + ((quota.limit - quota.used) * over) / quota.used } : { kind: "lasts", part };
}

const clock = (at) => new Date(at).toLocaleString(locale || "en-GB", { ...(at - Date.now() > 18 * HOUR ? { weekday: "short" } : {}), hour: "2-digit", minute: "2-digit" });

function Outlook({ quota }) {
  const told = outlook(quota, minute.value);
  if (told.kind === "spent") return html`<span class="bad"><${Dot} shape="diamond" tone="bad" />${told.at > minute.value ? parts("spent, back in {time}", { time: html`<${Countdown} at=${told.at} />` }) : t("spent")}</span>`;
  if (told.kind === "ends") return html`<span class="warn" title=${absolute(told.at)}><${Dot} shape="half" tone="warn" />${t("spent {time} at this pace", { time: clock(told.at) })}</span>`;
  if (told.kind === "lasts") return html`<span class="t3" title=${t("At the pace of this window so far, {n} % will be used when it begins anew", { n: Math.round(100 * told.part) })}><${Dot} shape="circle" tone="ok" />${t("lasts")}</span>`;
  if (told.kind === "early") return html`<span class="t4"><${Dot} shape="ring" tone="mute" />${t("too early to tell")}</span>`;
  return html`<span class="t4" title=${t("Its pace is not known")}><${Dot} shape="ring" tone="mute" />${quota.state === "stale" ? t("old figure") : t("pace unknown")}</span>`;
}

function Window({ quota }) {
  const { model, unit, state, resets_at } = quota;
  const name = common(quota.name);
  const anew = (text) => (resets_at <= minute.value ? t("begins anew now") : text);
  const title = html`<span class="q-name"><span class="strong">${name}</span>${model ? html`<span class="t3 cut mono xs" title=${t("For {model} only", { model })}>${model}</span>` : null}</span>`;
  if (!known(quota)) return html`<li class="q-window"><div class="q-line">${title}<span class="t4">${t("unknown")}</span></div><p class="sm t4">${resets_at ? anew(parts("begins anew in {time}", { time: html`<${Countdown} at=${resets_at} />` })) : t("The provider does not say how much is used.")}</p></li>`;
  const percent = Math.min(100, Math.max(0, Math.round(100 * share(quota))));
  const tone = percent >= CRITICAL ? "crit" : percent >= HIGH ? "high" : "";
  const amount = unit === "%" ? null : t("{used} of {limit} {unit}", { used: num(quota.used), limit: num(quota.limit), unit: common(unit) });
  return html`<li class="q-window">
    <div class="q-line">${title}<span class="num">${amount ? html`<span class="t3 sm" title=${t("{used} of {limit}", { used: exact(quota.used), limit: exact(quota.limit) })}>${amount} </span>` : null}<span class=${"strong" + (state === "stale" ? " t3" : "")} title=${WHERE[state] || state}>${state === "estimated" ? "≈ " : ""}${percent}%</span></span></div>
    <span class=${`meter-bar wide ${tone}${state === "stale" ? " old" : ""}`} role="meter" aria-valuenow=${percent} aria-valuemin="0" aria-valuemax="100" aria-label=${t("{name} used", { name: name + (model ? " " + model : "") })}><i style=${{ width: percent + "%" }} /></span>
    <div class="q-line sm q-foot"><${Outlook} quota=${quota} />${resets_at && share(quota) < 1 ? html`<span class="t3">${anew(parts("anew in {time}", { time: html`<${Countdown} at=${resets_at} />` }))}</span>` : null}</div></li>`;
}

function Money({ account }) {
  const { balance, budget } = account;
  return html`${balance ? html`<div class="q-line q-money"><span class="t3">${balance.manual ? t("Balance, as you set it") : t("Balance")}</span><span class=${"strong" + (balance.usable === false ? " bad" : "")} title=${balance.usable === false ? t("Not enough to be used") : null}>${Number(balance.amount).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} ${balance.currency}</span></div>` : null}
    ${budget ? html`<div class="q-line q-money"><span class="t3">${t("Your budget")}</span><span>${spending(budget)}</span></div>` : null}`;
}

async function ask(account, quiet = false) {
  const { message, ...row } = await post(`/api/accounts/${account.id}/refresh`);
  putAccount(row);
  if (!quiet) toast(message, { tone: row.quota_error ? "warn" : "ok" });
  return row;
}

function Card({ account, busy, onAsk }) {
  const windows = [...(account.quota || [])].sort((a, b) => share(b) - share(a));
  const provider = providersById.value.get(account.provider) || { id: account.provider, label: account.provider_label };
  const wrong = account.status !== "ready";
  return html`<article class="sheet q-card" aria-label=${account.label}>
    <header><${Monogram} provider=${provider} /><div class="stack none grow"><button type="button" class="row-link strong cut" data-row onClick=${() => edit(account)}>${account.label}</button><span class="sm t3 cut">${[account.plan, provider.label].filter(Boolean).join(" · ")}</span></div>
      ${wrong ? html`<${Status} words=${accountWords(account)} title=${account.status_reason} />` : null}
      ${account.can_refresh ? html`<${Button} small kind="ghost" icon="refresh-cw" label=${t("Refresh quota of {name}", { name: account.label })} busy=${busy} onClick=${onAsk} />` : null}</header>
    ${windows.length ? html`<ul>${windows.map((quota) => html`<${Window} key=${`${quota.name}\n${quota.model || ""}`} quota=${quota} />`)}</ul>` : null}
    <${Money} account=${account} />
    <footer class="sm t4">${account.quota_error ? html`<span class="warn wrap"><${Icon} name="triangle-alert" size=${12} /> ${account.quota_error}</span>` : null}${account.polled_at ? html`<span>${parts("asked {ago}", { ago: html`<${Ago} at=${account.polled_at} suffix=" ago" />` })}</span>` : html`<span>${t("told with its answers")}</span>`}</footer></article>`;
}

/** The soonest end first, then the fullest. */
function order(a, b) {
  const soon = (account) => Math.min(...(account.quota || []).map((quota) => outlook(quota, minute.value)).map((one) => (one.kind === "spent" ? 0 : one.kind === "ends" ? one.at : Infinity)), Infinity);
  const full = (account) => Math.max(...(account.quota || []).map(share), account.balance ? 0 : -1);
  const first = soon(a), second = soon(b);
  return first !== second ? (first < second ? -1 : 1) : full(b) - full(a);
}

export function Quota() {
  const [every, setEvery] = useState(null);
  const [busy, setBusy] = useState(new Set());
  useEffect(() => {
    get("/api/quota").then((data) => setEvery(data.interval_min)).catch(oops);
  }, [resync.value]);
  const list = shownAccounts.value.filter((account) => account.enabled);
  const tells = (account) => (account.quota || []).length || account.balance || account.budget || account.can_refresh;
  const told = list.filter(tells).sort(order);
  const silent = list.filter((account) => !tells(account));
  const refresh = async (accounts, quiet) => {
    setBusy(new Set(accounts.map((account) => account.id)));
    let failed = 0;
    for (const account of accounts) {
      try {
        if ((await ask(account, quiet)).quota_error) failed += 1;
      } catch (error) {
        failed += 1;
        if (!quiet) oops(error);
      }
      setBusy((left) => new Set([...left].filter((id) => id !== account.id)));
    }
    if (quiet) toast(failed ? counted(accounts.length, "{n} account asked, {failed} did not answer fully.", "{n} accounts asked, {failed} did not answer fully.", { failed }) : counted(accounts.length, "{n} account asked.", "{n} accounts asked."), { tone: failed ? "warn" : "ok" });
  };
  const askable = told.filter((account) => account.can_refresh);
  return html`<div class="page">
    <div class="page-head"><h1>${t("Quota")}</h1><span class="sub">${every ? t("asked every {n} min", { n: every }) : ""}</span><div class="actions">${askable.length ? html`<${Button} icon="refresh-cw" busy=${busy.size > 1} onClick=${() => refresh(askable, true)}>${t("Refresh all")}<//>` : null}</div></div>
    ${!ready.value ? html`<${Skeleton} rows=${8} />` : !list.length ? html`<${Empty} icon="hourglass" title=${t("No account to ask")} action=${html`<${Button} kind="primary" icon="plus" onClick=${() => connect()}>${t("Connect account")}<//>`}>${t("What is left of quotas and money is shown here for every account that is switched on.")}<//>`
    : html`${told.length ? html`<div class="q-cards">${told.map((account) => html`<${Card} key=${account.id} account=${account} busy=${busy.has(account.id)} onAsk=${() => refresh([account], false)} />`)}</div>` : html`<${Empty} icon="hourglass" title=${t("No provider of yours tells what is left")}>${t("It is shown as soon as one does. You can note a balance yourself where the account is edited.")}<//>`}
      ${silent.length ? html`<section class="section"><div class="section-head"><h2>${t("Unknown")}</h2><span class="t3 sm">${t("their providers do not tell what is left")}</span></div><div class="q-silent">${silent.map((account) => html`<button type="button" class="q-chip" key=${account.id} onClick=${() => edit(account)}><${Monogram} provider=${providersById.value.get(account.provider) || { id: account.provider, label: account.provider_label }} size=${20} /><span class="cut">${account.label}</span></button>`)}</div></section>` : null}`}
  </div>`;
}
