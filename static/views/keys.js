// Client keys: made once, shown once, limited, edited, rotated, revoked.
import { useState } from "../vendor/hooks.mjs";
import { signal } from "../vendor/signals.mjs";
import { createKey, providerName } from "../actions.js";
import { baseUrl, del, patch, post } from "../api.js";
import { BudgetMeter, rates } from "../budget.js";
import { absolute } from "../format.js";
import { fieldOf, limitBody, LimitFields, limitForm, limitProblems, showField } from "../limits.js";
import { accounts, keys, putKey, ready } from "../live.js";
import { Ago, Button, closeDialog, confirm, Copy, Dialog, Empty, html, Icon, In, keyWords, oops, openDialog, Select, Skeleton, Snippets, Status, TextField, toast } from "../ui.js";
import { snippets } from "../snippets.js";
import { counted, parts, said, t } from "../texts.js";

const named = (id) => said(providerName(id));

const DAY = 86400000;
const EXPIRIES = [["", t("Never")], ["1", t("1 day")], ["7", t("7 days")], ["30", t("30 days")], ["90", t("90 days")], ["365", t("1 year")]];

/** The key just made, in memory only and gone with the page: {id, name, key}. */
export const fresh = signal(null);

const KEEP = "keep";

export function CreateKey() {
  return html`<${KeyForm} />`;
}

/** Name, expiry and limits of a key that is there. The key itself stays what it is. */
export function EditKey({ id }) {
  const [found] = useState(() => keys.value.find((key) => key.id === id)); // A live update must not touch unsaved edits.
  return found ? html`<${KeyForm} known=${found} />` : null;
}

function check(form) {
  const wrong = limitProblems(form);
  if (!form.name.trim()) wrong.name = t("A name tells later which program uses the key.");
  return wrong;
}

function KeyForm({ known = null }) {
  const [was] = useState(() => ({ name: known ? known.name : "", expires: known && known.expires_at ? KEEP : "", models: known ? (known.models || []).join(", ") : "", providers: known ? known.providers || [] : [], ...limitForm(known) }));
  const [form, setForm] = useState(was);
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState(false);
  const set = (name) => (value) => {
    const next = { ...form, [name]: value };
    setForm(next);
    setWrong(Object.keys(wrong).length ? check(next) : wrong); // What was put right is told no longer.
  };
  const used = [...new Set([...accounts.value.map((account) => account.provider), ...was.providers])];
  const toggle = (id) => set("providers")(form.providers.includes(id) ? form.providers.filter((other) => other !== id) : [...form.providers, id]);
  const expiries = known && known.expires_at ? [[KEEP, t("as it is: {time}", { time: absolute(known.expires_at) })], ...EXPIRIES] : EXPIRIES;
  const save = async (event) => {
    event.preventDefault();
    const bad = check(form);
    setWrong(bad);
    const first = Object.keys(bad)[0];
    if (first) return showField(event.currentTarget, first);
    setBusy(true);
    const models = form.models.split(/[\s,]+/).filter(Boolean);
    const body = { name: form.name.trim(), models: models.length ? models : null, providers: form.providers.length ? form.providers : null, ...limitBody(form, known) };
    if (form.expires !== KEEP) body.expires_at = form.expires ? Date.now() + Number(form.expires) * DAY : null;
    try {
      if (!known) return reveal(await post("/api/keys", body));
      putKey(await patch(`/api/keys/${known.id}`, body));
      closeDialog();
      toast(t("{name} saved.", { name: body.name }), { tone: "ok" });
    } catch (error) {
      const field = fieldOf(error.param);
      setWrong({ [field in form ? field : "form"]: error.message });
      setBusy(false);
    }
  };
  const open = !!known && !!(limits(known) || known.budget);
  return html`<${Dialog} title=${known ? t("Edit {name}", { name: known.name }) : t("Create a key")} sub=${known ? t("Effective from the next request on; the key itself stays.") : t("One per program is best: each can be limited and revoked by itself.")} width=${known ? 540 : 460} onClose=${closeDialog} dirty=${known ? JSON.stringify(form) !== JSON.stringify(was) : !!form.name}
    foot=${html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="key-form" busy=${busy}>${known ? t("Save") : t("Create key")}<//>`}>
    <form id="key-form" class="form" onSubmit=${save}>
      <${TextField} label=${t("Name")} name="name" autofocus maxlength="80" placeholder=${t("laptop, opencode, nightly job …")} value=${form.name} onInput=${set("name")} error=${wrong.name} />
      <${Select} label=${t("Expires")} name="expires" value=${form.expires} onChange=${set("expires")} options=${expiries} />
      <details class="more" open=${open}><summary><${Icon} name="chevron-right" size=${14} />${t("Limits")}</summary><div class="form">
        ${used.length ? html`<fieldset><legend>${t("Providers")}</legend><div class="chips">${used.map((id) => html`<label class="chip" key=${id}><input type="checkbox" checked=${form.providers.includes(id)} onChange=${() => toggle(id)} />${named(id)}</label>`)}</div><div class="note">${t("None chosen: all.")}</div></fieldset>` : null}
        <${TextField} label=${t("Models")} name="models" hint=${t("Separated by commas. Empty: all.")} value=${form.models} onInput=${set("models")} error=${wrong.models} />
        <${LimitFields} form=${form} set=${set} wrong=${wrong} />
      </div></details>
      ${wrong.form ? html`<div class="verdict poor" role="alert"><span>${wrong.form}</span></div>` : null}
    </form><//>`;
}

/** Takes the one answer that holds the key: the store gets the row without it, memory gets the key. */
export function reveal(made) {
  const { key, ...row } = made;
  putKey(row);
  fresh.value = { id: row.id, name: row.name, key };
  openDialog("reveal-key");
}

export function KeyBox({ value }) {
  return html`<div class="keybox"><code class="wrap" data-testid="fresh-key">${value}</code><${Copy} text=${value} what=${t("Key")} kind="primary" small=${false}>${t("Copy key")}<//></div>`;
}

export function ShownOnce() {
  return html`<p class="once"><${Icon} name="eye-off" size=${15} /><span><b>${t("Shown once.")}</b> ${t("Only its hash is stored, so it cannot be shown again. Copy it now.")}</span></p>`;
}

export function RevealKey() {
  const made = fresh.value;
  if (!made) return null;
  return html`<${Dialog} title=${t("Key “{name}”", { name: made.name })} width=${680} onClose=${closeDialog} dirty foot=${html`<span class="grow" /><${Button} kind="primary" onClick=${closeDialog}>${t("I have copied it")}<//>`}>
    <div class="stack gap12"><${ShownOnce} /><${KeyBox} value=${made.key} />
      <h3>${t("Use it")}</h3><${Snippets} label=${t("Ready to paste")} items=${snippets(baseUrl(), made.key)} /></div><//>`;
}

// ------------------------------------------------------------------ the list
function revoke(key) {
  confirm({
    title: t("Revoke {name}?", { name: key.name }), action: t("Revoke"), danger: true, body: t("Programs that use this key are refused from now on. This cannot be undone."),
    async onYes() {
      try {
        putKey((await del(`/api/keys/${key.id}`)) || { ...key, status: "revoked", revoked_at: Date.now() });
        toast(t("{name} is revoked.", { name: key.name }), { tone: "ok" });
      } catch (error) {
        oops(error);
      }
    },
  });
}

function rotate(key) {
  confirm({
    title: t("Rotate {name}?", { name: key.name }), action: t("Rotate"), body: t("You get a new key under the same name and limits. The old one stops working at once."),
    async onYes() {
      try {
        reveal(await post(`/api/keys/${key.id}/rotate`));
      } catch (error) {
        oops(error);
      }
    },
  });
}

/** What holds a key back, in words; its budget has a bar of its own. */
function limits(key) {
  const out = [];
  if (key.providers) out.push(key.providers.map(named).join(", "));
  if (key.models) out.push(key.models.length > 2 ? counted(key.models.length, "{n} model", "{n} models") : key.models.join(", "));
  if (rates(key)) out.push(rates(key));
  if (key.max_in_flight) out.push(t("{n} in flight", { n: key.max_in_flight }));
  return out.join(" · ");
}

function Held({ item }) {
  const words = limits(item);
  if (!words && !item.budget) return html`<span class="t4">${t("none")}</span>`;
  return html`<div class="stack tight">${item.budget ? html`<${BudgetMeter} budget=${item.budget} name=${item.name} />` : null}${words ? html`<span>${words}</span>` : null}</div>`;
}

const ORDER = { active: 0, expired: 1, revoked: 2 };

export function Keys() {
  const list = [...keys.value].sort((a, b) => (ORDER[a.status] ?? 3) - (ORDER[b.status] ?? 3) || b.created_at - a.created_at);
  return html`<div class="page">
    <div class="page-head"><h1>${t("Keys")}</h1>${list.length ? html`<span class="sub">${counted(list.filter((key) => key.status === "active").length, "{n} active key", "{n} active keys")}</span>` : null}
      <div class="actions"><${Button} kind="primary" icon="plus" onClick=${createKey}>${t("Create key")}<//></div></div>
    <${BaseUrls} />
    ${!ready.value ? html`<${Skeleton} />` : !list.length ? html`<${Empty} icon="key-round" title=${t("No key yet")} action=${html`<${Button} kind="primary" icon="plus" onClick=${createKey}>${t("Create key")}<//>`}>
      ${parts("Programs show a key that begins with {omni}. It stands for every account you connect.", { omni: html`<code>omni-</code>` })}<//>`
    : html`<div class="sheet"><table class="grid keys"><thead><tr><th>${t("Key")}</th><th>${t("Status")}</th><th class="p3">${t("Limits")}</th><th class="p2">${t("Expires")}</th><th class="p4">${t("Created")}</th><th class="num p2">${t("Last used")}</th><th><span class="sr">${t("Actions")}</span></th></tr></thead>
      <tbody>${list.map((key) => html`<tr key=${key.id} class=${key.status === "active" ? "" : "off"}>
        <td class="c-name"><div class="stack tight"><a class="row-link cut strong" data-row href=${`#/activity?key=${encodeURIComponent(key.id)}`} title=${t("Activity of {name}", { name: key.name })}>${key.name}</a><span class="mono xs t3 cut">${key.hint}</span>${key.budget || limits(key) ? html`<div class="under sm t2"><${Held} item=${key} /></div>` : null}</div></td>
        <td><${Status} words=${keyWords(key)} /></td>
        <td class="p3 t2 sm wrap"><${Held} item=${key} /></td>
        <td class="p2 t2">${key.status === "revoked" ? html`<span class="t4">–</span>` : key.expires_at ? (key.status === "expired" ? html`<${Ago} at=${key.expires_at} suffix=${t(" ago")} />` : html`<span>${parts("in {time}", { time: html`<${In} at=${key.expires_at} />` })}</span>`) : html`<span class="t4">${t("Never").toLowerCase()}</span>`}</td>
        <td class="p4 t2"><${Ago} at=${key.created_at} suffix=${t(" ago")} /></td>
        <td class="num p2 t2"><${Ago} at=${key.last_used_at} /></td>
        <td class="c-actions"><div class="row-actions">${key.status === "revoked" ? null : html`<${Button} small kind="ghost" icon="pencil" label=${t("Edit {name}", { name: key.name })} onClick=${() => openDialog("edit-key", { id: key.id })} /><${Button} small kind="ghost" icon="refresh-cw" label=${t("Rotate {name}", { name: key.name })} onClick=${() => rotate(key)} /><${Button} small kind="ghost" icon="ban" label=${t("Revoke {name}", { name: key.name })} onClick=${() => revoke(key)} />`}</div></td>
      </tr>`)}</tbody></table></div>`}
    <section class="section"><div class="section-head"><h2>${t("How to use a key")}</h2><span class="t3 sm">${t("put your key where it says omni-…")}</span></div>
      <${Snippets} label=${t("Ready to paste")} items=${snippets(baseUrl(), "omni-…")} /></section>
  </div>`;
}

export function BaseUrls() {
  const base = baseUrl();
  const one = (label, url) => html`<div class="addr"><span class="t3 sm">${label}</span><code class="cut">${url}</code><${Copy} text=${url} what=${t("{name} address", { name: label })} /></div>`;
  return html`<div class="addrs">${one(t("OpenAI-compatible"), base + "/v1")}${one(t("Anthropic-compatible"), base)}<div class="addr"><span class="t3 sm">${t("Model")}</span><code>auto</code><${Copy} text="auto" what=${t("Model name")} /></div></div>`;
}
