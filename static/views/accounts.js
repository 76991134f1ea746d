// The pool: one row per account, what state it is in and why, and what can be done about it.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { clearCooldown, connect, edit, probe, providerName, remove, setEnabled, signInAgain, test } from "../actions.js";
import { plural } from "../format.js";
import { accounts, ready, shownAccounts } from "../live.js";
import { Left, told } from "../quota.js";
import { accountWords, Ago, Button, Cooldown, Cost, Empty, Heartbeat, html, Num, openDialog, Skeleton, Status, Switch } from "../ui.js";

const scoped = (account) => (account.cooldowns || []).filter((cooldown) => cooldown.scope && account.status === "ready");

function State({ account, actions }) {
  const listed = !actions && ["needs_login", "error", "locked"].includes(account.status); // The strips above say it already, with the button.
  const why = listed ? null : account.cooldown && account.status !== "ready" ? html`<${Cooldown} cooldown=${account.cooldown} />` : account.status !== "ready" && (account.status !== "disabled" || account.enabled) ? account.status_reason : null;
  return html`<div class="stack tight"><${Status} words=${accountWords(account)} title=${account.status_reason} />
    ${why ? html`<div class="why sm t2">${why}</div>` : null}
    ${actions && account.status === "needs_login" && account.auth === "oauth" ? html`<div><${Button} small icon="key-round" onClick=${() => signInAgain(account)}>Sign in again<//></div>` : null}
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
    ${account.can_probe ? html`<${Button} small kind="ghost" icon="circle-question-mark" label=${`Ask now whether ${account.label} is back`} onClick=${() => probe(account)} />` : null}
    ${account.cooldown ? html`<${Button} small kind="ghost" icon="rotate-cw" label=${`Clear cooldown of ${account.label}`} onClick=${() => clearCooldown(account)} />` : null}
    <${Button} small kind="ghost" icon="zap" label=${`Test ${account.label}`} busy=${busy} onClick=${run} />
    <${Button} small kind="ghost" icon="pencil" label=${`Edit ${account.label}`} onClick=${() => edit(account)} />
    <${Button} small kind="ghost" icon="trash-2" label=${`Remove ${account.label}`} onClick=${() => remove(account)} />
    <${Switch} on=${account.enabled} label=${`${account.label} in use`} onChange=${(on) => setEnabled(account, on)} /></div>`;
}

export function AccountName({ account }) {
  return html`<div class="stack tight"><span class="flex gap5"><button type="button" class="row-link cut strong" data-row onClick=${() => edit(account)} title=${account.label}>${account.label}</button>${account.demo ? html`<span class="tag demo">demo</span>` : null}</span>
    <span class="sm t3 cut">${providerName(account.provider)}${account.priority ? ` · priority ${account.priority}` : ""}</span></div>`;
}

export function AccountTable({ list, actions }) {
  return html`<div class="sheet"><table class=${"grid accounts cards" + (actions ? " with-actions" : "")}>
    <thead><tr><th>Account</th><th>State</th><th class="c-beats">Last attempts</th><th class="c-quota">Quota</th>${actions ? html`<th class="c-models">Models</th>` : null}
      <th class="num c-flight">In flight</th><th class="num c-today">Today</th><th class="num c-cost">Cost</th><th class="num c-used">Last used</th>${actions ? html`<th><span class="sr">Actions</span></th>` : null}</tr></thead>
    <tbody>${list.map((account) => html`<tr key=${account.id} class=${account.status === "disabled" ? "off" : ""}>
      <td class="c-name"><${AccountName} account=${account} /></td>
      <td class="c-state"><${State} account=${account} actions=${actions} /></td>
      <td class="c-beats"><${Heartbeat} beats=${account.heartbeat} name=${account.label} /></td>
      <td class=${"c-quota" + (told(account) ? "" : " untold")}><${Left} account=${account} /></td>
      ${actions ? html`<td class="c-models"><${ModelCount} account=${account} /></td>` : null}
      <td class="num c-flight">${account.in_flight || account.max_in_flight ? html`<span class=${account.in_flight ? "strong accent" : "t4"}>${account.in_flight}</span>${account.max_in_flight ? html`<span class="t4"> / ${account.max_in_flight}</span>` : null}` : html`<span class="t4">0</span>`}</td>
      <td class="num c-today">${account.requests_today ? html`<${Num} value=${account.requests_today} unit="requests today" />` : html`<span class="t4">0</span>`}</td>
      <td class="num c-cost"><${Cost} cost=${account.requests_today || account.cost_today ? { usd: account.cost_today } : { usd: "0" }} /></td>
      <td class="num c-used t2"><${Ago} at=${account.last_used_at} /></td>
      ${actions ? html`<td class="c-actions"><${Actions} account=${account} /></td>` : null}
    </tr>`)}</tbody></table></div>`;
}

function ModelCount({ account }) {
  const own = account.models || [];
  const found = account.discovered || [];
  const list = own.length ? own : found.length ? found : account.serves || [];
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
      <div class="actions"><${Button} kind="ghost" onClick=${() => openDialog("import-file")}>Import<//>${list.length ? html`<${Button} kind="ghost" onClick=${() => openDialog("export-file")}>Export<//>` : null}<${Button} kind="primary" icon="plus" onClick=${() => connect()}>Connect account<//></div></div>
    ${!ready.value ? html`<${Skeleton} />` : list.length ? html`<${AccountTable} list=${list} actions />` : html`<${Empty} icon="plug" title="No account is connected"
      action=${html`<div class="flex center"><${Button} kind="primary" icon="plus" onClick=${() => connect()}>Connect account<//><${Button} icon="flask-conical" onClick=${() => connect("demo")}>Try the demo provider<//></div>`}>
      An account is one credential at a provider: an API key, or the address of a server on this machine. Requests are spread over all of them.<//>`}
  </div>`;
}
