// What is left on an account: quota windows, plan, money and a look ahead. What nobody tells is said to be unknown, never drawn as 0 %.
import { useState } from "./vendor/hooks.mjs";
import { patch, post } from "./api.js";
import { BudgetMeter, rates } from "./budget.js";
import { absolute, exact } from "./format.js";
import { locale } from "./language.js";
import { putAccount } from "./live.js";
import { parts, t } from "./texts.js";
import { Ago, Button, html, In, oops, TextField, toast } from "./ui.js";

const PER_CENT_WARN = 65;
const PER_CENT_CRIT = 90;
const SHOWN = 2;
/** The names and units that providers have in common; others are theirs. */
export const COMMON = { minute: t("minute"), hour: t("hour"), day: t("day"), week: t("week"), month: t("month"), requests: t("requests"), tokens: t("tokens"), credits: t("credits"), calls: t("calls") };
const STATES = { live: t("live"), stale: t("stale"), estimated: t("estimated") };
const DAY = 18 * 3600_000; // Up to here a time of day is clear without its day.
const cents = { minimumFractionDigits: 2, maximumFractionDigits: 2 };

/** Two windows may have one name and be of different models. */
const keyOf = (quota) => `${quota.name}\n${quota.model || ""}`;
const known = (quota) => quota.state !== "unknown" && quota.limit > 0 && quota.used !== null && quota.used !== undefined;
const share = (quota) => (known(quota) ? quota.used / quota.limit : -1);

/** "14:20", or "Fri 14:20" when that is far away. */
function clock(at) {
  const day = at - Date.now() > DAY ? { weekday: "short" } : {};
  return new Date(at).toLocaleString(locale || "en-GB", { ...day, hour: "2-digit", minute: "2-digit" });
}

function Meter({ quota }) {
  const { model, unit, state, resets_at, forecast } = quota;
  const called = COMMON[quota.name] || quota.name;
  const name = html`<span class="meter-name cut">${called}</span>`;
  const whose = model ? html`<span class="sm t4 cut" title=${t("For {model} only", { model })}>${model}</span>` : null;
  if (!known(quota)) return html`${whose}<span class="meter">${name} <span class="t4">${t("unknown")}</span></span>`;
  const percent = Math.min(100, Math.max(0, Math.round(100 * share(quota))));
  const tone = percent >= PER_CENT_CRIT ? "crit" : percent >= PER_CENT_WARN ? "high" : "";
  const used = t("{used} of {limit} {unit} used ({state})", { used: exact(quota.used), limit: exact(quota.limit), unit: COMMON[unit] || unit || "", state: STATES[state] || state });
  const title = [used, model, resets_at && t("resets {time}", { time: absolute(resets_at) })].filter(Boolean).join(" · ");
  return html`${whose}<span class=${"meter" + (state === "stale" ? " stale" : "")} title=${title}>${name}
    <span class=${"meter-bar " + tone} role="meter" aria-valuenow=${percent} aria-valuemin="0" aria-valuemax="100" aria-label=${t("{name} quota", { name: called + (model ? " " + model : "") })}><i style=${{ width: percent + "%" }} /></span>
    <span class="meter-value">${state === "estimated" ? "≈" : ""}${percent}%</span>
    ${resets_at ? html`<span class="meter-reset t4"><${In} at=${resets_at} /></span>` : null}</span>
    ${forecast ? html`<span class="sm warn" title=${absolute(forecast.ends_at)}>${t("ends {time} at this pace", { time: clock(forecast.ends_at) })}</span>` : null}`;
}

function Money({ balance }) {
  const spent = balance.usable === false;
  const amount = `${balance.amount} ${balance.currency}`;
  const said = balance.manual ? (balance.set_at ? t("As you set it on {time}; it does not follow what is spent.", { time: absolute(balance.set_at) }) : t("As you set it; it does not follow what is spent."))
    : spent ? t("The provider says: {amount}, not enough to be used.", { amount }) : t("The provider says: {amount}.", { amount });
  const left = t("{amount} left", { amount: `${Number(balance.amount).toLocaleString("en-US", cents)} ${balance.currency}` });
  return html`<span class=${spent ? "bad" : "t2"} title=${said}>${left}${balance.manual ? html` <span class="t4">${t("set by you")}</span>` : null}</span>`;
}

/** Is there anything to say of what is left, or anybody to ask? */
export const told = (account) => !!((account.quota || []).length || account.balance || account.budget || account.rpm || account.tpm || account.plan || account.can_refresh);

/** Quota and money of an account; the windows that are nearly spent come first, the others on request. */
export function Left({ account }) {
  const [all, setAll] = useState(false);
  const { balance, plan, polled_at, quota_error } = account;
  const windows = [...(account.quota || [])].sort((a, b) => share(b) - share(a));
  const some = windows.length || balance;
  const why = quota_error ? t("Not everything was answered: {why}", { why: quota_error }) : t("This provider does not say how much is left.");
  const more = windows.length - SHOWN;
  const unknown = some ? null : html`<span class="t4" title=${why}>${t("unknown")}</span>`;
  return html`<div class="left"><span class="stack grow">
    ${plan || unknown ? html`<span class="flex gap5">${unknown}${plan ? html`<span class="sm t3 cut" title=${t("Plan, as the provider names it")}>${plan}</span>` : null}</span>` : null}
    ${windows.slice(0, all ? windows.length : SHOWN).map((quota) => html`<${Meter} key=${keyOf(quota)} quota=${quota} />`)}
    ${more > 0 ? html`<span><${Button} small kind="link" aria-expanded=${String(all)} onClick=${() => setAll(!all)}>${all ? t("fewer") : t("{n} more", { n: more })}<//></span>` : null}
    ${balance ? html`<${Money} balance=${balance} />` : null}
    ${account.budget ? html`<${BudgetMeter} budget=${account.budget} name=${account.label} />` : null}
    ${rates(account) ? html`<span class="sm t3" title=${t("As much as you let it have")}>${t("at most {rates}", { rates: rates(account) })}</span>` : null}
    ${some && quota_error ? html`<span class="sm t4" title=${why}>${parts("as of {ago}", { ago: html`<${Ago} at=${polled_at} suffix=" ago" />` })}</span>` : null}</span><${Refresh} account=${account} /></div>`;
}

/** Asks the provider now. Only where there is somebody to ask. */
function Refresh({ account }) {
  const [busy, setBusy] = useState(false);
  if (!account.can_refresh) return null;
  const run = async () => {
    setBusy(true);
    try {
      const { message, ...row } = await post(`/api/accounts/${account.id}/refresh`);
      putAccount(row);
      toast(message, { tone: row.quota_error ? "warn" : "ok" });
    } catch (error) {
      oops(error);
    }
    setBusy(false);
  };
  return html`<${Button} small kind="ghost" icon="refresh-cw" label=${t("Refresh quota of {name}", { name: account.label })} busy=${busy} onClick=${run} />`;
}

/** Money that the owner knows of and the provider does not tell. */
export function OwnBalance({ account }) {
  const { balance } = account;
  const [text, setText] = useState(balance && balance.manual ? `${balance.amount} ${balance.currency}` : "");
  if (balance && !balance.manual) return null;
  const save = async () => {
    const [amount, currency = "USD"] = text.trim().split(/\s+/);
    try {
      putAccount(await patch(`/api/accounts/${account.id}`, { balance: amount ? { amount, currency } : null }));
      toast(amount ? t("Balance noted.") : t("Balance cleared."), { tone: "ok" });
    } catch (error) {
      oops(error);
    }
  };
  return html`<${TextField} label=${t("Balance")} value=${text} onInput=${setText} placeholder="12.50 USD" optional
    hint=${html`${t("What is left, where the provider does not tell.")} <${Button} small kind="link" onClick=${save}>${t("Note it now")}<//>`} />`;
}
