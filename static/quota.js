// What is left on an account: quota windows, plan, money and a look ahead. What nobody tells is said to be unknown, never drawn as 0 %.
import { useState } from "./vendor/hooks.mjs";
import { patch, post } from "./api.js";
import { BudgetMeter, rates } from "./budget.js";
import { absolute, exact } from "./format.js";
import { putAccount } from "./live.js";
import { Ago, Button, html, In, oops, TextField, toast } from "./ui.js";

const PER_CENT_WARN = 65;
const PER_CENT_CRIT = 90;
const SHOWN = 2;
const DAY = 18 * 3600_000; // Up to here a time of day is clear without its day.
const cents = { minimumFractionDigits: 2, maximumFractionDigits: 2 };

/** Two windows may have one name and be of different models. */
const keyOf = (quota) => `${quota.name}\n${quota.model || ""}`;
const known = (quota) => quota.state !== "unknown" && quota.limit > 0 && quota.used !== null && quota.used !== undefined;
const share = (quota) => (known(quota) ? quota.used / quota.limit : -1);

/** "14:20", or "Fri 14:20" when that is far away. */
function clock(at) {
  const day = at - Date.now() > DAY ? { weekday: "short" } : {};
  return new Date(at).toLocaleString("en-GB", { ...day, hour: "2-digit", minute: "2-digit" });
}

function Meter({ quota }) {
  const { model, unit, state, resets_at, forecast } = quota;
  const name = html`<span class="meter-name cut">${quota.name}</span>`;
  const whose = model ? html`<span class="sm t4 cut" title=${`For ${model} only`}>${model}</span>` : null;
  if (!known(quota)) return html`${whose}<span class="meter">${name} <span class="t4">unknown</span></span>`;
  const percent = Math.min(100, Math.max(0, Math.round(100 * share(quota))));
  const tone = percent >= PER_CENT_CRIT ? "crit" : percent >= PER_CENT_WARN ? "high" : "";
  const title = `${exact(quota.used)} of ${exact(quota.limit)} ${unit || ""} used (${state})${model ? ` · ${model}` : ""}${resets_at ? ` · resets ${absolute(resets_at)}` : ""}`;
  return html`${whose}<span class=${"meter" + (state === "stale" ? " stale" : "")} title=${title}>${name}
    <span class=${"meter-bar " + tone} role="meter" aria-valuenow=${percent} aria-valuemin="0" aria-valuemax="100" aria-label=${`${quota.name}${model ? " " + model : ""} quota`}><i style=${{ width: percent + "%" }} /></span>
    <span class="meter-value">${state === "estimated" ? "≈" : ""}${percent}%</span>
    ${resets_at ? html`<span class="meter-reset t4"><${In} at=${resets_at} /></span>` : null}</span>
    ${forecast ? html`<span class="sm warn" title=${absolute(forecast.ends_at)}>ends ${clock(forecast.ends_at)} at this pace</span>` : null}`;
}

function Money({ balance }) {
  const spent = balance.usable === false;
  const said = balance.manual ? `As you set it${balance.set_at ? " on " + absolute(balance.set_at) : ""}; it does not follow what is spent.`
    : `The provider says: ${balance.amount} ${balance.currency}${spent ? ", not enough to be used" : ""}.`;
  return html`<span class=${spent ? "bad" : "t2"} title=${said}>${Number(balance.amount).toLocaleString("en-US", cents)} ${balance.currency} left${balance.manual ? html` <span class="t4">set by you</span>` : null}</span>`;
}

/** Is there anything to say of what is left, or anybody to ask? */
export const told = (account) => !!((account.quota || []).length || account.balance || account.budget || account.rpm || account.tpm || account.plan || account.can_refresh);

/** Quota and money of an account; the windows that are nearly spent come first, the others on request. */
export function Left({ account }) {
  const [all, setAll] = useState(false);
  const { balance, plan, polled_at, quota_error } = account;
  const windows = [...(account.quota || [])].sort((a, b) => share(b) - share(a));
  const some = windows.length || balance;
  const why = quota_error ? `Not everything was answered: ${quota_error}` : "This provider does not say how much is left.";
  const more = windows.length - SHOWN;
  const unknown = some ? null : html`<span class="t4" title=${why}>unknown</span>`;
  return html`<div class="left"><span class="stack grow">
    ${plan || unknown ? html`<span class="flex gap5">${unknown}${plan ? html`<span class="sm t3 cut" title="Plan, as the provider names it">${plan}</span>` : null}</span>` : null}
    ${windows.slice(0, all ? windows.length : SHOWN).map((quota) => html`<${Meter} key=${keyOf(quota)} quota=${quota} />`)}
    ${more > 0 ? html`<span><${Button} small kind="link" aria-expanded=${String(all)} onClick=${() => setAll(!all)}>${all ? "fewer" : `${more} more`}<//></span>` : null}
    ${balance ? html`<${Money} balance=${balance} />` : null}
    ${account.budget ? html`<${BudgetMeter} budget=${account.budget} name=${account.label} />` : null}
    ${rates(account) ? html`<span class="sm t3" title="As much as you let it have">at most ${rates(account)}</span>` : null}
    ${some && quota_error ? html`<span class="sm t4" title=${why}>as of <${Ago} at=${polled_at} suffix=" ago" /></span>` : null}</span><${Refresh} account=${account} /></div>`;
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
  return html`<${Button} small kind="ghost" icon="refresh-cw" label=${`Refresh quota of ${account.label}`} busy=${busy} onClick=${run} />`;
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
      toast(amount ? "Balance noted." : "Balance cleared.", { tone: "ok" });
    } catch (error) {
      oops(error);
    }
  };
  return html`<${TextField} label="Balance" value=${text} onInput=${setText} placeholder="12.50 USD" optional
    hint=${html`What is left, where the provider does not tell. <${Button} small kind="link" onClick=${save}>Note it now<//>`} />`;
}
