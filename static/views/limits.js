// Limits: what everything together, a provider or a model may use, and who else is limited.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { edit } from "../actions.js";
import { del, get, put } from "../api.js";
import { BudgetMeter } from "../budget.js";
import { exact } from "../format.js";
import { fieldOf, limitBody, LimitFields, limitForm, limitProblems } from "../limits.js";
import { keys, minute, providers, providersById, resync, ruleMoves, shownAccounts } from "../live.js";
import { parts, said, t } from "../texts.js";
import { Button, closeDialog, Dialog, Dot, Empty, html, Icon, Monogram, oops, openDialog, Select, Skeleton, TextField, toast } from "../ui.js";

const UNDO_MS = 8000;
const EVERYTHING = t("everything");
const SCOPES = [["installation", t("Everything together")], ["provider", t("A provider, all its accounts")], ["model", t("A model, whoever serves it")]];
const COUNTS = ["rpm", "tpm", "max_in_flight"];
const path = ({ scope, subject }) => "/api/limits/" + (scope === "installation" ? scope : `${scope}/${encodeURIComponent(subject)}`);
const nameOf = (limit) => (limit.scope === "installation" ? EVERYTHING : limit.name);
/** The server names the whole installation in English. */
const shownName = (limit) => (limit.scope === "installation" ? said(limit.name) : limit.name);
const changed = () => (ruleMoves.value += 1);

// ------------------------------------------------------------------ one limit
export function EditLimit({ limit, taken = [] }) {
  const connected = new Set(shownAccounts.value.map((account) => account.provider));
  const known = [...providers.value].sort((a, b) => connected.has(b.id) - connected.has(a.id));
  const [place, setPlace] = useState(() => limit || { scope: taken.includes("installation/") ? "provider" : "installation", subject: "" });
  const [form, setForm] = useState(() => limitForm(limit));
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState(false);
  const [dirty, setDirty] = useState(false);
  const set = (name) => (value) => {
    const next = { ...form, [name]: value };
    setForm(next);
    setDirty(true);
    setWrong(Object.keys(wrong).length ? limitProblems(next) : wrong); // What was put right is told no longer.
  };
  const choose = (scope) => setPlace({ scope, subject: scope === "provider" && known.length ? known[0].id : "" });
  const save = async (event) => {
    event.preventDefault();
    const bad = limitProblems(form);
    const body = limitBody(form, limit);
    if (place.scope === "model" && !place.subject.trim()) bad.subject = t("Which model? Its id, or its family such as claude-sonnet-4.5.");
    else if (!limit && taken.includes(`${place.scope}/${place.subject.trim()}`)) bad.form = t("This has a limit already: edit that one.");
    else if (!Object.keys(bad).length && Object.values(body).every((value) => value === null)) bad.form = t("Give a budget, or one of the numbers.");
    setWrong(bad);
    if (Object.keys(bad).length) return;
    setBusy(true);
    try {
      const saved = await put(path({ ...place, subject: place.subject.trim() }), body);
      changed();
      closeDialog();
      toast(t("The limit of {name} holds from now on.", { name: nameOf(saved) }), { tone: "ok" });
    } catch (error) {
      const field = fieldOf(error.param);
      setWrong({ [field in form || field === "subject" ? field : "form"]: error.message });
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${limit ? t("Limit of {name}", { name: nameOf(limit) }) : t("Set a limit")} sub=${t("Every limit that applies to a request must let it through.")} width=${540} onClose=${closeDialog} dirty=${dirty}
    notice=${wrong.form ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong.form}</span></div>` : null}
    foot=${html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="limit-form" busy=${busy}>${t("Save")}<//>`}>
    <form id="limit-form" class="form" onSubmit=${save} autocomplete="off">
      ${limit ? null : html`<div class="form two"><${Select} label=${t("Of")} name="scope" value=${place.scope} onChange=${choose} options=${SCOPES} />
        ${place.scope === "provider" ? html`<${Select} label=${t("Provider")} name="subject" error=${wrong.subject} value=${place.subject} onChange=${(subject) => setPlace({ ...place, subject })} options=${known.map((provider) => [provider.id, provider.label])} />`
        : place.scope === "model" ? html`<${TextField} label=${t("Model")} name="subject" placeholder="gpt-4o" value=${place.subject} onInput=${(subject) => setPlace({ ...place, subject })} error=${wrong.subject} />` : html`<span />`}</div>`}
      <${LimitFields} form=${form} set=${set} wrong=${wrong} autofocus=${!!limit} />
    </form><//>`;
}

/** Gone at once; undoing puts the same limit back. */
async function remove(limit) {
  try {
    await del(path(limit));
    changed();
    const restore = () => put(path(limit), limitBody(limitForm(limit), limit)).then(changed, oops);
    toast(t("The limit of {name} is removed.", { name: nameOf(limit) }), { life: UNDO_MS, action: { label: t("Undo"), run: restore } });
  } catch (error) {
    oops(error);
  }
}

// ------------------------------------------------------------------ the lists
function Count({ value, unit }) {
  return value ? html`<span class="nowrap">${exact(value)}<span class="under-unit t3"> ${unit}</span></span>` : html`<span class="t4 none-here">–</span>`;
}

function Cells({ row, name }) {
  return html`<td class="c-budget sm">${row.budget ? html`<${BudgetMeter} budget=${row.budget} name=${name} />` : html`<span class="t4 none-here">–</span>`}</td>
    <td class="num c-rpm"><${Count} value=${row.rpm} unit=${t("requests/min")} /></td><td class="num c-tpm"><${Count} value=${row.tpm} unit=${t("tokens/min")} /></td>
    <td class="num c-once"><${Count} value=${row.max_in_flight} unit=${t("at once")} /></td>`;
}

function Who({ limit }) {
  if (limit.scope === "installation") return html`<span class="mono-mark still" aria-hidden="true"><${Icon} name="wallet" /></span>`;
  if (limit.scope === "model") return html`<span class="mono-mark still" aria-hidden="true"><${Icon} name="box" /></span>`;
  return html`<${Monogram} provider=${providersById.value.get(limit.subject) || { id: limit.subject, label: limit.name }} size=${24} />`;
}

const Head = () => html`<thead><tr><th>${t("Limit of")}</th><th>${t("Budget")}</th><th class="num">${t("Requests / min")}</th><th class="num">${t("Tokens / min")}</th><th class="num">${t("At once")}</th><th><span class="sr">${t("Actions")}</span></th></tr></thead>`;

function Rules({ list }) {
  return html`<div class="sheet"><table class="grid limits cards with-actions"><${Head} />
    <tbody>${list.map((limit) => html`<tr key=${path(limit)}>
      <td class="c-name"><div class="flex gap5"><${Who} limit=${limit} /><div class="stack tight grow"><button type="button" class=${"row-link cut strong" + (limit.scope === "model" ? " mono" : "")} data-row title=${shownName(limit)} onClick=${() => openDialog("edit-limit", { limit })}>${shownName(limit)}</button><span class="xs t3">${limit.scope === "installation" ? t("all accounts, keys and models") : limit.scope === "model" ? t("model") : t("provider")}</span></div></div></td>
      <${Cells} row=${limit} name=${nameOf(limit)} />
      <td class="c-actions"><div class="row-actions"><${Button} small kind="ghost" icon="pencil" label=${t("Edit the limit of {name}", { name: nameOf(limit) })} onClick=${() => openDialog("edit-limit", { limit })} /><${Button} small kind="ghost" icon="trash-2" label=${t("Remove the limit of {name}", { name: nameOf(limit) })} onClick=${() => remove(limit)} /></div></td></tr>`)}</tbody></table></div>`;
}

/** Accounts and keys carry theirs themselves: shown here too, because a request has to pass all of them. */
function Others() {
  const limited = (row) => row.budget || row.rpm || row.tpm || (row.max_in_flight && row.auth !== "cli");
  const rows = [
    ...shownAccounts.value.filter(limited).map((account) => ({ row: account, name: account.label, kind: "account", change: () => edit(account, "amount") })),
    ...keys.value.filter((key) => key.status === "active" && limited(key)).map((key) => ({ row: key, name: key.name, kind: "key", change: () => openDialog("edit-key", { id: key.id }) })),
  ];
  if (!rows.length) return html`<p class="t3 sm">${parts("None is limited. An account is limited where it is edited ({accounts}), a key likewise ({keys}).", { accounts: html`<a class="link" href="#/accounts">${t("Accounts")}</a>`, keys: html`<a class="link" href="#/keys">${t("Keys")}</a>` })}</p>`;
  return html`<div class="sheet"><table class="grid limits cards with-actions"><${Head} />
    <tbody>${rows.map(({ row, name, kind, change }) => html`<tr key=${row.id}>
      <td class="c-name"><div class="flex gap5"><span class="mono-mark still" aria-hidden="true"><${Icon} name=${kind === "key" ? "key-round" : "plug"} /></span><div class="stack tight grow"><button type="button" class="row-link cut strong" data-row title=${name} onClick=${change}>${name}</button><span class="xs t3">${kind === "key" ? t("key") : t("account")}</span></div></div></td>
      <${Cells} row=${row} name=${name} />
      <td class="c-actions"><div class="row-actions"><${Button} small kind="ghost" icon="pencil" label=${kind === "key" ? t("Edit key {name}", { name }) : t("Edit account {name}", { name })} onClick=${change} /></div></td></tr>`)}</tbody></table></div>`;
}

export function Limits() {
  const [list, setList] = useState(null);
  const at = minute.value; // What is spent moves with every request: read again now and then.
  useEffect(() => {
    get("/api/limits").then((data) => setList(data.limits)).catch((error) => { oops(error); setList((old) => old || []); });
  }, [resync.value, ruleMoves.value, at]);
  const taken = (list || []).map((limit) => `${limit.scope}/${limit.subject}`);
  const add = html`<${Button} kind="primary" icon="plus" disabled=${!list} onClick=${() => openDialog("edit-limit", { taken })}>${t("Set a limit")}<//>`;
  return html`<div class="page">
    <div class="page-head"><h1>${t("Limits")}</h1><span class="sub">${t("a request has to pass all that apply to it")}</span><div class="actions">${list && list.length ? add : null}</div></div>
    <section class="section"><div class="section-head"><h2>${t("Everything, providers and models")}</h2></div>
      ${!list ? html`<${Skeleton} rows=${3} />` : list.length ? html`<${Rules} list=${list} />` : html`<${Empty} icon="wallet" title=${t("Nothing is limited yet")} action=${add}>${t("An amount a day, week or month for everything together, a provider or a model. What is spent refuses what costs money; free models go on.")}<//>`}</section>
    <section class="section"><div class="section-head"><h2>${t("Accounts and keys")}</h2></div><${Others} /></section>
  </div>`;
}
