// The pool: one row per account, what state it is in and why, in the order in which accounts are tried, and what can be done about each.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { clearCooldown, connect, edit, probe, providerName, remove, saveAccount, setEnabled, signInAgain, test } from "../actions.js";
import { accounts, ready, shownAccounts } from "../live.js";
import { replaceParams } from "../route.js";
import { counted, said, t } from "../texts.js";
import { accountWords, Button, Empty, html, Icon, openDialog, Skeleton, Switch } from "../ui.js";
import { AccountTable, Head, Row, useGrowing } from "./account_table.js";
import { InPlace } from "./inplace.js";
import { droppable, Grip, inOrder } from "./order.js";

const LOOK = "omni-accounts-look";
const SEARCH_FROM = 8; // Fewer are seen at a glance.

function Reconnect({ account }) {
  if (account.auth === "oauth") return html`<${Button} small icon="key-round" onClick=${() => signInAgain(account)}>${t("Sign in again")}<//>`;
  return html`<${Button} small icon="key-round" title=${t("Reconnect {name}", { name: account.label })} onClick=${() => edit(account, "api_key")}>${account.auth === "cli" ? t("Look") : t("Reconnect")}<//>`;
}

function Actions({ account }) {
  const [busy, setBusy] = useState(false);
  const name = account.label;
  const run = async () => {
    setBusy(true);
    await test(account);
    setBusy(false);
  };
  return html`<div class="row-actions">
    ${account.can_probe ? html`<${Button} small kind="ghost" icon="circle-question-mark" label=${t("Ask now whether {name} is back", { name })} onClick=${() => probe(account)} />` : null}
    ${account.cooldown ? html`<${Button} small kind="ghost" icon="rotate-cw" label=${t("Clear cooldown of {name}", { name })} onClick=${() => clearCooldown(account)} />` : null}
    <${Button} small kind="ghost" icon="zap" label=${t("Test {name}", { name })} busy=${busy} onClick=${run} />
    <${Button} small kind="ghost" icon="pencil" label=${t("Edit {name}", { name })} onClick=${() => edit(account)} />
    <${Button} small kind="ghost" icon="trash-2" label=${t("Remove {name}", { name })} onClick=${() => remove(account)} />
    <${Switch} on=${account.enabled} label=${t("{name} in use", { name })} onChange=${(on) => setEnabled(account, on)} /></div>`;
}

// ------------------------------------------------------------------ what is edited where it stands
const whole = (text, least) => /^-?\d{1,5}$/.test(text) && Number(text) >= least;

function Rename({ account }) {
  const check = (text) => (text ? (accounts.value.some((other) => other.label === text && other.id !== account.id) ? t("Another account is already called {name}.", { name: text }) : "") : t("Every account needs a name."));
  return html`<${InPlace} class="quiet" value=${account.label} label=${t("Rename {name}", { name: account.label })} check=${check} onSave=${(label) => saveAccount(account.id, { label })}><${Icon} name="pencil" size=${11} /><//>`;
}

function Priority({ account }) {
  return html`<${InPlace} class=${account.priority ? "" : "quiet"} value=${account.priority} inputmode="numeric" label=${t("Priority of {name}", { name: account.label })} check=${(text) => (whole(text, -1000) ? "" : t("A whole number."))}
    onSave=${(text) => saveAccount(account.id, { priority: Number(text) })}>${t("priority {n}", { n: account.priority })}<//>`;
}

function Limit({ account }) {
  const most = account.max_in_flight;
  return html`<${InPlace} class=${most ? "" : "quiet"} value=${most || ""} inputmode="numeric" label=${t("Most in flight of {name}", { name: account.label })} check=${(text) => (!text || whole(text, 1) ? "" : t("A whole number from 1, or empty for no limit."))}
    onSave=${(text) => saveAccount(account.id, { max_in_flight: text ? Number(text) : null })}><span class="t4"> / ${most || "–"}</span><//>`;
}

// ------------------------------------------------------------------ the list
const OWN = { Actions, Grip, Limit, Priority, Reconnect, Rename, droppable };

/** The same rows, each on a sheet of its own: narrow sheets show a row as a card. */
function AccountCards({ list }) {
  const drawn = useGrowing(list.length);
  return html`<ul class="account-cards">${list.slice(0, drawn).map((account) => html`<li key=${account.id} class="sheet"><table class="grid accounts cards with-actions"><${Head} own=${OWN} /><tbody><${Row} account=${account} own=${OWN} /></tbody></table></li>`)}</ul>`;
}

function remembered() {
  try {
    return localStorage.getItem(LOOK) === "cards" ? "cards" : "table";
  } catch {
    return "table"; // Storage refused.
  }
}

function useLook() {
  const [look, setLook] = useState(remembered);
  const choose = (next) => {
    setLook(next);
    try {
      localStorage.setItem(LOOK, next);
    } catch {
      return; // It holds until the page is left.
    }
  };
  return [look, choose];
}

function Filters({ params, list }) {
  const { text = "", provider = "" } = params;
  const used = [...new Set(list.map((account) => account.provider))].sort();
  return html`<div class="filters slim" role="search"><label class="search wide"><${Icon} name="search" size=${14} /><span class="sr">${t("Search accounts")}</span><input type="search" spellcheck=${false} autocapitalize="off" class="input small" data-filter placeholder=${t("Search accounts")} value=${text} onInput=${(event) => replaceParams({ text: event.currentTarget.value, provider })} /><kbd>/</kbd></label>
    <select class=${"input small" + (provider ? " on" : "")} aria-label=${t("Provider")} value=${provider} onChange=${(event) => replaceParams({ text, provider: event.currentTarget.value })}><option value="">${t("All providers")}</option>${used.map((id) => html`<option key=${id} value=${id} selected=${id === provider}>${said(providerName(id))}</option>`)}</select>
    ${text || provider ? html`<${Button} small kind="ghost" onClick=${() => replaceParams({})}>${t("Clear")}<//>` : null}</div>`;
}

function wanted(list, { text = "", provider = "" }) {
  const needles = text.toLowerCase().split(/\s+/).filter(Boolean);
  const words = (account) => `${account.label} ${account.provider} ${providerName(account.provider)} ${account.status} ${accountWords(account)[0]}`.toLowerCase();
  return list.filter((account) => (!provider || account.provider === provider) && needles.every((needle) => words(account).includes(needle)));
}

export function Accounts({ route }) {
  const all = shownAccounts.value;
  const [look, setLook] = useLook();
  const cards = look === "cards";
  const { text, provider } = route.params;
  const list = inOrder(wanted(all, route.params));
  useEffect(() => {
    const account = route.id && accounts.value.find((other) => other.id === route.id);
    if (account) edit(account);
  }, [route.id, ready.value]);
  const empty = html`<${Empty} icon="plug" title=${t("No account is connected")}
    action=${html`<div class="flex center"><${Button} kind="primary" icon="plus" onClick=${() => connect()}>${t("Connect account")}<//><${Button} icon="flask-conical" onClick=${() => connect("demo")}>${t("Try the demo provider")}<//></div>`}>
    ${t("An account is one credential at a provider: an API key, or the address of a server on this machine. Requests are spread over all of them.")}<//>`;
  return html`<div class="page">
    <div class="page-head"><h1>${t("Accounts")}</h1>${all.length ? html`<span class="sub">${counted(all.length, "{n} account", "{n} accounts")}</span>` : null}
      <div class="actions">${all.length ? html`<${Button} class="look" kind="ghost" icon=${cards ? "server" : "columns-2"} label=${cards ? t("Show as a table") : t("Show as cards")} onClick=${() => setLook(cards ? "table" : "cards")} />` : null}<${Button} kind="ghost" onClick=${() => openDialog("import-file")}>${t("Import")}<//>${all.length ? html`<${Button} kind="ghost" onClick=${() => openDialog("export-file")}>${t("Export")}<//>` : null}<${Button} kind="primary" icon="plus" onClick=${() => connect()}>${t("Connect account")}<//></div></div>
    ${all.length >= SEARCH_FROM || text || provider ? html`<${Filters} params=${route.params} list=${all} />` : null}
    ${!ready.value ? html`<${Skeleton} />` : !all.length ? empty
    : !list.length ? html`<${Empty} icon="search" title=${t("No account matches")} action=${html`<${Button} onClick=${() => replaceParams({})}>${t("Clear search")}<//>`} />`
    : cards ? html`<${AccountCards} list=${list} />` : html`<${AccountTable} list=${list} own=${OWN} />`}
  </div>`;
}
