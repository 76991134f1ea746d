// Providers: what holds for all accounts of one — its switch, its address, its names of models.
import { useState } from "../vendor/hooks.mjs";
import { call, post } from "../api.js";
import { providers, providersById, putProvider, ready, shownAccounts } from "../live.js";
import { Button, closeDialog, Dialog, Dot, Empty, html, Icon, Monogram, oops, openDialog, Skeleton, Status, Switch, TextField, toast } from "../ui.js";
import { replaceParams } from "../route.js";
import { said, t } from "../texts.js";

const edit = (provider) => openDialog("edit-provider", { id: provider.id });
const mapped = (provider) => Object.entries(provider.model_map || {}).sort(([a], [b]) => (a < b ? -1 : 1));
const replaced = (provider) => provider.base_url !== provider.default_base_url;
const changed = (provider) => !provider.enabled || provider.name || mapped(provider).length || replaced(provider);
const hasAddress = (provider) => !provider.demo && !provider.command;

function host(url) {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

/** Shown at once, taken back when the server refuses. What becomes of its accounts comes as events. */
async function setEnabled(provider, enabled) {
  putProvider({ ...provider, enabled });
  try {
    putProvider(await post(`/api/providers/${provider.id}/${enabled ? "enable" : "disable"}`));
  } catch (error) {
    putProvider(provider);
    oops(error);
  }
}

// ------------------------------------------------------------------ one provider
const asLines = (provider) => mapped(provider).map(([name, id]) => `${name} = ${id}`).join("\n");

/** "name = id" per line → the map, or the first line that is none. */
function fromLines(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const pairs = lines.map((line) => [line.slice(0, Math.max(0, line.indexOf("="))).trim(), line.slice(line.indexOf("=") + 1).trim()]);
  const bad = pairs.findIndex(([name, id]) => !name || !id);
  return bad < 0 ? { map: Object.fromEntries(pairs) } : { bad: lines[bad] };
}

function Sites({ provider }) {
  const sites = [[t("Keys"), provider.key_url], [t("Documentation"), provider.docs_url]].filter(([, url]) => /^https?:\/\//.test(url || ""));
  if (!sites.length) return null;
  return html`<p class="sm t3">${sites.map(([words, url], i) => html`${i ? " · " : ""}<a class="link" key=${words} href=${url} target="_blank" rel="noreferrer noopener">${words}: ${host(url)}</a>`)}</p>`;
}

export function EditProvider({ id }) {
  const [provider] = useState(() => providersById.value.get(id)); // A live update must not touch unsaved edits.
  const [was] = useState(() => ({ name: provider.name || "", base_url: replaced(provider) ? provider.base_url : "", model_map: asLines(provider) }));
  const [form, setForm] = useState(was);
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState(false);
  const moved = Object.keys(was).filter((name) => form[name].trim() !== was[name]);
  const save = async (event) => {
    event.preventDefault();
    const read = fromLines(form.model_map);
    if (read.bad) return setWrong({ model_map: t("“{line}” is not “name = id”.", { line: read.bad.slice(0, 60) }) });
    if (!moved.length) return closeDialog();
    setBusy(true);
    try {
      const values = { name: form.name.trim(), base_url: form.base_url.trim(), model_map: read.map };
      const saved = await call("PATCH", `/api/providers/${id}`, Object.fromEntries(moved.map((name) => [name, values[name]])));
      putProvider(saved);
      closeDialog();
      toast(t("{name} saved.", { name: said(saved.label) }), { tone: "ok" });
    } catch (error) {
      setWrong({ [error.param in form ? error.param : "form"]: error.message });
      setBusy(false);
    }
  };
  const text = (name, label, more) => html`<${TextField} label=${label} name=${name} value=${form[name]} onInput=${(value) => setForm({ ...form, [name]: value })} error=${wrong[name]} ...${more} />`;
  const mine = shownAccounts.value.filter((account) => account.provider === id).map((account) => account.label);
  return html`<${Dialog} title=${said(provider.label)} sub=${mine.length ? t("For all its accounts: {names}", { names: mine.join(", ") }) : t("For all accounts that are connected to it")} width=${480} onClose=${closeDialog} dirty=${moved.length > 0}
    notice=${wrong.form ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong.form}</span></div>` : null}
    foot=${html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="provider-form" busy=${busy}>${t("Save")}<//>`}>
    <form id="provider-form" class="form" onSubmit=${save} autocomplete="off">
      ${text("name", t("Name"), { placeholder: provider.default_label, optional: true, maxlength: 64 })}
      ${hasAddress(provider) ? text("base_url", t("Address"), { placeholder: provider.default_base_url || "https://host/v1", optional: true, inputmode: "url", hint: t("For accounts that have no address of their own.") }) : null}
      ${text("model_map", t("Model names"), { area: true, rows: 5, optional: true, placeholder: t("name programs ask for = the provider's id"), hint: t("One per line. An account's own names win.") })}
      <${Sites} provider=${provider} />
    </form><//>`;
}

// ------------------------------------------------------------------ the table
function Row({ provider }) {
  const mine = shownAccounts.value.filter((account) => account.provider === provider.id);
  const working = mine.filter((account) => account.status === "ready").length;
  const names = mapped(provider);
  const words = !provider.enabled ? [t("Off"), "mute", "ring"] : !mine.length ? [t("Not connected"), "mute", "ring"] : working ? [t("Ready"), "ok", "circle"] : [t("None ready"), "warn", "half"];
  return html`<tr class=${provider.enabled ? "" : "off"}>
    <td class="c-name"><div class="flex gap5"><${Monogram} provider=${provider} size=${24} /><div class="stack tight"><button type="button" class="row-link cut strong" data-row onClick=${() => edit(provider)} title=${said(provider.label)}>${said(provider.label)}</button><span class="sm t3 cut mono">${provider.id}</span></div></div></td>
    <td class="c-state"><div class="stack tight"><${Status} words=${words} />${mine.length ? html`<a class="why sm t2" href=${`#/accounts?provider=${encodeURIComponent(provider.id)}`} title=${t("Accounts of {name}", { name: said(provider.label) })}>${mine.length > 1 ? `${provider.enabled ? t("{n} of {all} accounts", { n: working, all: mine.length }) : t("{n} accounts", { n: mine.length })}: ` : ""}${mine.slice(0, 4).map((account) => account.label).join(", ")}${mine.length > 4 ? " …" : ""}</a>` : null}</div></td>
    <td class="c-address sm"><span class=${replaced(provider) ? "mono wrap" : "mono t4 wrap"} title=${provider.base_url}>${hasAddress(provider) ? host(provider.base_url) || t("per account") : t("on this machine")}</span></td>
    <td class="c-names num">${names.length ? html`<span title=${asLines(provider)}>${names.length}</span>` : html`<span class="t4">0</span>`}</td>
    <td class="c-actions"><div class="row-actions"><${Button} small kind="ghost" icon="pencil" label=${t("Edit {name}", { name: said(provider.label) })} onClick=${() => edit(provider)} />
      <${Switch} on=${provider.enabled} label=${t("{name} in use", { name: said(provider.label) })} onChange=${(on) => setEnabled(provider, on)} /></div></td></tr>`;
}

export function Providers({ route }) {
  const [all, setAll] = useState(false);
  const text = route.params.text || "";
  const used = new Set(shownAccounts.value.map((account) => account.provider));
  const known = providers.value;
  const ours = known.filter((provider) => used.has(provider.id) || changed(provider));
  const wanted = text.trim().toLowerCase();
  const list = wanted ? known.filter((provider) => `${provider.label} ${said(provider.label)} ${provider.default_label} ${provider.id}`.toLowerCase().includes(wanted)) : all || !ours.length ? known : ours;
  return html`<div class="page">
    <div class="page-head"><h1>${t("Providers")}</h1>${known.length ? html`<span class="sub">${t("{n} in use, of {all}", { n: ours.length, all: known.length })}</span>` : null}</div>
    <div class="filters" role="search"><label class="search wide"><${Icon} name="search" size=${14} /><span class="sr">${t("Search providers")}</span><input type="search" spellcheck=${false} autocapitalize="off" class="input small" data-filter placeholder=${t("Search providers")} value=${text} onInput=${(event) => replaceParams({ text: event.currentTarget.value })} /><kbd>/</kbd></label></div>
    ${!ready.value ? html`<${Skeleton} />` : !list.length ? html`<${Empty} icon="search" title=${t("No provider matches “{text}”", { text })} action=${html`<${Button} onClick=${() => replaceParams({})}>${t("Clear search")}<//>`} />`
    : html`<div class="sheet"><table class="grid accounts providers cards with-actions"><thead><tr><th>${t("Provider")}</th><th>${t("State")}</th><th class="c-address">${t("Address")}</th><th class="c-names num">${t("Names mapped")}</th><th><span class="sr">${t("Actions")}</span></th></tr></thead>
      <tbody>${list.map((provider) => html`<${Row} key=${provider.id} provider=${provider} />`)}</tbody></table></div>
      ${list === ours ? html`<div class="list-foot"><${Button} onClick=${() => setAll(true)}>${t("Show all {n}", { n: known.length })}<//></div>` : null}`}
  </div>`;
}
