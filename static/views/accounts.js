// The pool: one row per account, what state it is in and why, and what can be done about it.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { call, del, patch, post } from "../api.js";
import { ms, plural } from "../format.js";
import { accounts, dropAccount, putAccount, providersById, ready, removing, shownAccounts } from "../live.js";
import { accountWords, Ago, Button, confirm, Cooldown, Cost, Empty, Heartbeat, html, Num, oops, openDialog, Quota, Skeleton, Status, Switch, toast } from "../ui.js";

const UNDO_MS = 5000;

// ------------------------------------------------------------------ what can be done to an account
export const connect = (provider = null) => openDialog("connect", { provider });
export const edit = (account, focus = null) => openDialog("edit", { id: account.id, focus });

/** Shown at once, taken back when the server refuses. */
export async function setEnabled(account, enabled) {
  putAccount({ ...account, enabled, status: enabled ? "ready" : "disabled" });
  try {
    putAccount(await post(`/api/accounts/${account.id}/${enabled ? "enable" : "disable"}`));
  } catch (error) {
    putAccount(account);
    oops(error);
  }
}

export async function clearCooldown(account) {
  try {
    putAccount(await post(`/api/accounts/${account.id}/clear-cooldown`));
    toast(`${account.label} may be used again.`, { tone: "ok" });
  } catch (error) {
    oops(error);
  }
}

/** Asks now whether an account that is out is back. The answer comes with the account, once it was asked. */
export async function probe(account) {
  try {
    const told = await post(`/api/accounts/${account.id}/probe`);
    toast(told.message, { tone: told.job ? "ok" : "warn" });
  } catch (error) {
    oops(error);
  }
}

export async function test(account) {
  try {
    const result = await post(`/api/accounts/${account.id}/test`);
    const found = result.models && result.models.length ? `, ${plural(result.models.length, "model")}` : "";
    if (result.ok) toast(`${account.label} answers in ${ms(result.latency_ms)}${found}.`, { tone: "ok" });
    else toast(`${account.label}: ${result.message}`, { tone: "bad", life: 9000 });
  } catch (error) {
    oops(error);
  }
}

/** Asks, hides the row, and sends the DELETE only when the time to undo is over (or the page goes away). */
export function remove(account) {
  confirm({
    title: `Remove ${account.label}?`, action: "Remove", danger: true,
    body: "Its credential is deleted from this machine. Past requests stay in the activity log.",
    onYes() {
      removing.value = new Set([...removing.value, account.id]);
      const show = () => {
        const left = new Set(removing.value);
        left.delete(account.id);
        removing.value = left;
      };
      const send = async (keepalive) => {
        clearTimeout(timer);
        window.removeEventListener("pagehide", leave);
        try {
          await del(`/api/accounts/${account.id}`, { keepalive });
          dropAccount(account.id);
        } catch (error) {
          oops(error);
        }
        show();
      };
      const leave = () => send(true);
      const timer = setTimeout(send, UNDO_MS, false);
      window.addEventListener("pagehide", leave);
      toast(`${account.label} removed.`, {
        life: UNDO_MS,
        action: { label: "Undo", run() { clearTimeout(timer); window.removeEventListener("pagehide", leave); show(); } },
      });
    },
  });
}

// ------------------------------------------------------------------ the table
export function providerName(id) {
  const provider = providersById.value.get(id);
  return provider ? provider.label : id;
}

const scoped = (account) => (account.cooldowns || []).filter((cooldown) => cooldown.scope && account.status === "ready");

function State({ account }) {
  const why = account.cooldown && account.status !== "ready" ? html`<${Cooldown} cooldown=${account.cooldown} />` : account.status !== "ready" && account.status !== "disabled" ? account.status_reason : null;
  return html`<div class="stack tight"><${Status} words=${accountWords(account)} title=${account.status_reason} />
    ${why ? html`<div class="why sm t2">${why}</div>` : null}
    ${scoped(account).slice(0, 2).map((cooldown) => html`<div class="why sm t2" key=${cooldown.scope}><${Cooldown} cooldown=${cooldown} /></div>`)}</div>`;
}

function Actions({ account }) {
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    await test(account);
    setBusy(false);
  };
  return html`<div class="row-actions">
    ${account.cooldown ? html`<${Button} small kind="ghost" icon="circle-question-mark" label=${`Ask now whether ${account.label} is back`} onClick=${() => probe(account)} /><${Button} small kind="ghost" icon="rotate-cw" label=${`Clear cooldown of ${account.label}`} onClick=${() => clearCooldown(account)} />` : null}
    <${Button} small kind="ghost" icon="zap" label=${`Test ${account.label}`} busy=${busy} onClick=${run} />
    <${Button} small kind="ghost" icon="pencil" label=${`Edit ${account.label}`} onClick=${() => edit(account)} />
    <${Button} small kind="ghost" icon="trash-2" label=${`Remove ${account.label}`} onClick=${() => remove(account)} />
    <${Switch} on=${account.enabled} label=${`${account.label} in use`} onChange=${(on) => setEnabled(account, on)} /></div>`;
}

export function AccountName({ account }) {
  return html`<div class="stack tight"><span class="flex gap5"><button type="button" class="row-link cut strong" data-row onClick=${() => edit(account)} title=${account.label}>${account.label}</button>${account.demo ? html`<span class="tag demo">demo</span>` : null}</span>
    <span class="sm t3 cut">${providerName(account.provider)}</span></div>`;
}

export function AccountTable({ list, actions }) {
  return html`<div class="sheet"><table class=${"grid accounts" + (actions ? " with-actions" : "")}>
    <thead><tr><th>Account</th><th>State</th><th class="p3">Last attempts</th><th class="p4">Quota</th>${actions ? html`<th class="p5">Models</th><th class="p5 num">Priority</th>` : null}
      <th class="num p2">In flight</th><th class="num p3">Today</th><th class="num p4">Cost</th><th class="num">Last used</th>${actions ? html`<th><span class="sr">Actions</span></th>` : null}</tr></thead>
    <tbody>${list.map((account) => html`<tr key=${account.id} class=${account.enabled ? "" : "off"}>
      <td class="c-name"><${AccountName} account=${account} /></td>
      <td class="c-state"><${State} account=${account} /></td>
      <td class="p3 c-beats"><${Heartbeat} beats=${account.heartbeat} name=${account.label} /></td>
      <td class="p4 c-quota"><${Quota} account=${account} /></td>
      ${actions ? html`<td class="p5 c-models"><${ModelCount} account=${account} /></td><td class="p5 num t2">${account.priority}</td>` : null}
      <td class="num p2">${account.in_flight || account.max_in_flight ? html`<span class=${account.in_flight ? "strong accent" : "t4"}>${account.in_flight}</span>${account.max_in_flight ? html`<span class="t4"> / ${account.max_in_flight}</span>` : null}` : html`<span class="t4">0</span>`}</td>
      <td class="num p3">${account.requests_today ? html`<${Num} value=${account.requests_today} unit="requests today" />` : html`<span class="t4">0</span>`}</td>
      <td class="num p4"><${Cost} cost=${account.requests_today || account.cost_today ? { usd: account.cost_today } : { usd: "0" }} /></td>
      <td class="num t2"><${Ago} at=${account.last_used_at} /></td>
      ${actions ? html`<td class="c-actions"><${Actions} account=${account} /></td>` : null}
    </tr>`)}</tbody></table></div>`;
}

function ModelCount({ account }) {
  const own = account.models || [];
  const found = account.discovered || [];
  const list = own.length ? own : found;
  const title = list.slice(0, 12).join("\n") + (list.length > 12 ? `\n… and ${list.length - 12} more` : "");
  if (!list.length) return html`<span class="t4" title="This account takes any model name.">any</span>`;
  return html`<span title=${title}>${list.length}${own.length ? html` <span class="t4">chosen</span>` : null}</span>`;
}

export function Accounts({ route }) {
  const list = shownAccounts.value;
  useEffect(() => {
    const account = route.id && accounts.value.find((other) => other.id === route.id);
    if (account) edit(account);
  }, [route.id, ready.value]);
  return html`<div class="page">
    <div class="page-head"><h1>Accounts</h1>${list.length ? html`<span class="sub">${plural(list.length, "account")}</span>` : null}
      <div class="actions"><${Button} kind="primary" icon="plus" onClick=${() => connect()}>Connect account<//></div></div>
    ${!ready.value ? html`<${Skeleton} />` : list.length ? html`<${AccountTable} list=${list} actions />` : html`<${Empty} icon="plug" title="No account is connected"
      action=${html`<div class="flex center"><${Button} kind="primary" icon="plus" onClick=${() => connect()}>Connect account<//><${Button} icon="flask-conical" onClick=${() => connect("demo")}>Try the demo provider<//></div>`}>
      An account is one credential at a provider: an API key, or the address of a server on this machine. Requests are spread over all of them.<//>`}
  </div>`;
}

/** Saves an edited account: only what changed is sent. */
export async function saveAccount(id, body) {
  const saved = id ? await patch(`/api/accounts/${id}`, body) : await call("POST", "/api/accounts", body);
  putAccount(saved);
  return saved;
}
