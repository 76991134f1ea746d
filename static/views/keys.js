// Client keys: made once, shown once, limited, rotated, revoked.
import { useState } from "../vendor/hooks.mjs";
import { signal } from "../vendor/signals.mjs";
import { createKey, providerName } from "../actions.js";
import { baseUrl, del, post } from "../api.js";
import { plural, spending } from "../format.js";
import { accounts, keys, putKey, ready } from "../live.js";
import { Ago, Button, closeDialog, confirm, Copy, Dialog, Empty, html, Icon, In, keyWords, oops, openDialog, Select, Skeleton, Snippets, Status, TextField, toast } from "../ui.js";
import { snippets } from "../snippets.js";

const DAY = 86400000;
const EXPIRIES = [["", "Never"], ["1", "1 day"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "1 year"]];

/** The key just made, in memory only and gone with the page: {id, name, key}. */
export const fresh = signal(null);

export function CreateKey() {
  const [form, setForm] = useState({ name: "", expires: "", models: "", providers: [], rpm: "" });
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState(false);
  const set = (name) => (value) => setForm({ ...form, [name]: value });
  const connected = [...new Set(accounts.value.map((account) => account.provider))];
  const toggle = (id) => set("providers")(form.providers.includes(id) ? form.providers.filter((other) => other !== id) : [...form.providers, id]);
  const save = async (event) => {
    event.preventDefault();
    const bad = {};
    if (!form.name.trim()) bad.name = "A name tells later which program uses the key.";
    if (form.rpm.trim() && !/^[1-9]\d*$/.test(form.rpm.trim())) bad.rpm = "A whole number from 1, or empty for no limit.";
    setWrong(bad);
    if (Object.keys(bad).length) return;
    setBusy(true);
    const models = form.models.split(/[\s,]+/).filter(Boolean);
    try {
      const made = await post("/api/keys", {
        name: form.name.trim(), expires_at: form.expires ? Date.now() + Number(form.expires) * DAY : null,
        models: models.length ? models : null, providers: form.providers.length ? form.providers : null, rpm: form.rpm.trim() ? Number(form.rpm) : null,
      });
      reveal(made);
    } catch (error) {
      setWrong({ [error.param in form ? error.param : "form"]: error.message });
      setBusy(false);
    }
  };
  return html`<${Dialog} title="Create a key" sub="One per program is best: each can be limited and revoked by itself." width=${460} onClose=${closeDialog} dirty=${!!form.name}
    foot=${html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>Cancel<//><${Button} kind="primary" type="submit" form="key-form" busy=${busy}>Create key<//>`}>
    <form id="key-form" class="form" onSubmit=${save}>
      <${TextField} label="Name" name="name" autofocus maxlength="80" placeholder="laptop, opencode, nightly job …" value=${form.name} onInput=${set("name")} error=${wrong.name} />
      <${Select} label="Expires" name="expires" value=${form.expires} onChange=${set("expires")} options=${EXPIRIES} />
      <details class="more"><summary><${Icon} name="chevron-right" size=${14} />Limits</summary><div class="form">
        ${connected.length ? html`<fieldset><legend>Providers</legend><div class="chips">${connected.map((id) => html`<label class="chip" key=${id}><input type="checkbox" checked=${form.providers.includes(id)} onChange=${() => toggle(id)} />${providerName(id)}</label>`)}</div><div class="note">None chosen: all.</div></fieldset>` : null}
        <${TextField} label="Models" name="models" hint="Separated by commas. Empty: all." value=${form.models} onInput=${set("models")} error=${wrong.models} />
        <${TextField} label="Requests per minute" name="rpm" inputmode="numeric" hint="Empty: no limit." value=${form.rpm} onInput=${set("rpm")} error=${wrong.rpm} />
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
  return html`<div class="keybox"><code class="wrap" data-testid="fresh-key">${value}</code><${Copy} text=${value} what="Key" kind="primary" small=${false}>Copy key<//></div>`;
}

export function ShownOnce() {
  return html`<p class="once"><${Icon} name="eye-off" size=${15} /><span><b>Shown once.</b> Only its hash is stored, so it cannot be shown again. Copy it now.</span></p>`;
}

export function RevealKey() {
  const made = fresh.value;
  if (!made) return null;
  return html`<${Dialog} title=${`Key “${made.name}”`} width=${680} onClose=${closeDialog} dirty foot=${html`<span class="grow" /><${Button} kind="primary" onClick=${closeDialog}>I have copied it<//>`}>
    <div class="stack gap12"><${ShownOnce} /><${KeyBox} value=${made.key} />
      <h3>Use it</h3><${Snippets} label="Ready to paste" items=${snippets(baseUrl(), made.key)} /></div><//>`;
}

// ------------------------------------------------------------------ the list
function revoke(key) {
  confirm({
    title: `Revoke ${key.name}?`, action: "Revoke", danger: true, body: "Programs that use this key are refused from now on. This cannot be undone.",
    async onYes() {
      try {
        putKey((await del(`/api/keys/${key.id}`)) || { ...key, status: "revoked", revoked_at: Date.now() });
        toast(`${key.name} is revoked.`, { tone: "ok" });
      } catch (error) {
        oops(error);
      }
    },
  });
}

function rotate(key) {
  confirm({
    title: `Rotate ${key.name}?`, action: "Rotate", body: "You get a new key under the same name and limits. The old one stops working at once.",
    async onYes() {
      try {
        reveal(await post(`/api/keys/${key.id}/rotate`));
      } catch (error) {
        oops(error);
      }
    },
  });
}

function limits(key) {
  const out = [];
  if (key.providers) out.push(key.providers.map(providerName).join(", "));
  if (key.models) out.push(key.models.length > 2 ? plural(key.models.length, "model") : key.models.join(", "));
  if (key.rpm) out.push(`${key.rpm} / min`);
  if (key.max_in_flight) out.push(`${key.max_in_flight} in flight`);
  if (key.budget) out.push(spending(key.budget));
  return out.join(" · ");
}

const ORDER = { active: 0, expired: 1, revoked: 2 };

export function Keys() {
  const list = [...keys.value].sort((a, b) => (ORDER[a.status] ?? 3) - (ORDER[b.status] ?? 3) || b.created_at - a.created_at);
  return html`<div class="page">
    <div class="page-head"><h1>Keys</h1>${list.length ? html`<span class="sub">${plural(list.filter((key) => key.status === "active").length, "active key")}</span>` : null}
      <div class="actions"><${Button} kind="primary" icon="plus" onClick=${createKey}>Create key<//></div></div>
    <${BaseUrls} />
    ${!ready.value ? html`<${Skeleton} />` : !list.length ? html`<${Empty} icon="key-round" title="No key yet" action=${html`<${Button} kind="primary" icon="plus" onClick=${createKey}>Create key<//>`}>
      Programs show a key that begins with <code>omni-</code>. It stands for every account you connect.<//>`
    : html`<div class="sheet"><table class="grid keys"><thead><tr><th>Key</th><th>Status</th><th class="p3">Limits</th><th class="p2">Expires</th><th class="p4">Created</th><th class="num p2">Last used</th><th><span class="sr">Actions</span></th></tr></thead>
      <tbody>${list.map((key) => html`<tr key=${key.id} class=${key.status === "active" ? "" : "off"}>
        <td class="c-name"><div class="stack tight"><a class="row-link cut strong" data-row href=${`#/activity?key=${encodeURIComponent(key.id)}`} title=${`Activity of ${key.name}`}>${key.name}</a><span class="mono xs t3 nowrap">${key.hint}</span></div></td>
        <td><${Status} words=${keyWords(key)} /></td>
        <td class="p3 t2 sm wrap">${limits(key) || html`<span class="t4">none</span>`}</td>
        <td class="p2 t2">${key.status === "revoked" ? html`<span class="t4">–</span>` : key.expires_at ? (key.status === "expired" ? html`<${Ago} at=${key.expires_at} suffix=" ago" />` : html`in <${In} at=${key.expires_at} />`) : html`<span class="t4">never</span>`}</td>
        <td class="p4 t2"><${Ago} at=${key.created_at} suffix=" ago" /></td>
        <td class="num p2 t2"><${Ago} at=${key.last_used_at} /></td>
        <td class="c-actions"><div class="row-actions">${key.status === "revoked" ? null : html`<${Button} small kind="ghost" icon="refresh-cw" label=${`Rotate ${key.name}`} onClick=${() => rotate(key)} /><${Button} small kind="ghost" icon="ban" label=${`Revoke ${key.name}`} onClick=${() => revoke(key)} />`}</div></td>
      </tr>`)}</tbody></table></div>`}
    <section class="section"><div class="section-head"><h2>How to use a key</h2><span class="t3 sm">put your key where it says omni-…</span></div>
      <${Snippets} label="Ready to paste" items=${snippets(baseUrl(), "omni-…")} /></section>
  </div>`;
}

export function BaseUrls() {
  const base = baseUrl();
  const one = (label, url) => html`<div class="addr"><span class="t3 sm">${label}</span><code class="cut">${url}</code><${Copy} text=${url} what=${label + " address"} /></div>`;
  return html`<div class="addrs">${one("OpenAI-compatible", base + "/v1")}${one("Anthropic-compatible", base)}<div class="addr"><span class="t3 sm">Model</span><code>auto</code><${Copy} text="auto" what="Model name" /></div></div>`;
}
