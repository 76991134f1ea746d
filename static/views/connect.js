// The dialog that connects an account or edits one: choose a provider, fill in what it needs, test, save.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { saveAccount, signInAgain } from "../actions.js";
import { ApiError, post } from "../api.js";
import { ms, plural } from "../format.js";
import { fieldOf, limitBody, LimitFields, limitForm, limitProblems, said, showField } from "../limits.js";
import { accounts, providers, providersById } from "../live.js";
import { Button, closeDialog, Dialog, Dot, html, Icon, Monogram, Prose, Select, TextField, toast } from "../ui.js";
import { OwnBalance } from "../quota.js";
import { SignIn, signedInAs } from "./signin.js";
import { CommandForm } from "./connect_command.js";
import { Found } from "./connect_found.js";

const GROUPS = [
  ["Providers", (provider) => !provider.local && !provider.custom && !provider.demo && !provider.command],
  ["On this machine or network", (provider) => provider.local || provider.command],
  ["Your own address", (provider) => provider.custom],
  ["To look around", (provider) => provider.demo],
];

const COUNTS = ["rpm", "tpm", "max_in_flight"];
const words = (text) => text.split(/[\s,]+/).filter(Boolean);
const whole = (text, least) => (/^-?\d+$/.test(text.trim()) && Number(text) >= least ? Number(text) : null);

function proposeLabel(provider) {
  const taken = new Set(accounts.value.map((account) => account.label));
  let label = provider.id;
  for (let n = 2; taken.has(label); n++) label = `${provider.id}-${n}`;
  return label;
}

// ------------------------------------------------------------------ step 1: which provider
function Picker({ onPick }) {
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const match = (provider) => !wanted || `${provider.label} ${provider.id}`.toLowerCase().includes(wanted);
  const list = providers.value.filter((provider) => match(provider) && !provider.retired);
  const connected = (provider) => accounts.value.filter((account) => account.provider === provider.id).length;
  const first = (event) => {
    if (event.key === "Enter" && list.length) {
      event.preventDefault();
      onPick(list[0]);
    }
  };
  return html`<div class="picker">
    <label class="search"><${Icon} name="search" /><span class="sr">Search providers</span><input class="input" type="search" autofocus placeholder="Search providers" value=${text} onInput=${(event) => setText(event.currentTarget.value)} onKeyDown=${first} /></label>
    ${wanted ? null : html`<${Found} />`}
    ${GROUPS.map(([title, belongs]) => {
      const members = list.filter(belongs);
      if (!members.length) return null;
      return html`<section key=${title} aria-label=${title}><h3 class="t3">${title}</h3><div class="picks">${members.map((provider) => html`<button type="button" class="pick" key=${provider.id} onClick=${() => onPick(provider)}>
        <${Monogram} provider=${provider} /><span class="stack none grow"><span class="cut">${provider.label}</span>${connected(provider) ? html`<span class="xs t3">${connected(provider)} connected</span>` : null}</span></button>`)}</div></section>`;
    })}
    ${list.length ? null : html`<p class="t3 pad">No provider is called “${text}”. Any service that speaks the OpenAI or Anthropic API can be connected under “Your own address”: <button type="button" class="btn link" onClick=${() => setText("")}>show all</button></p>`}
  </div>`;
}

// ------------------------------------------------------------------ step 2: its fields
function blank(provider) {
  const regions = Object.entries(provider.regions || {});
  return {
    api_key: "", label: proposeLabel(provider), region: regions.length ? (regions.find(([, url]) => url === provider.default_base_url) || regions[0])[0] : "", base_url: "", models: "", prefix: "",
    priority: "0", weight: "1", proxy_url: "", headers: "", drop_proxy: false, drop_headers: false, ...limitForm(null),
  };
}

function filled(account, provider) {
  const region = Object.entries(provider.regions || {}).find(([, url]) => url === account.base_url);
  return {
    ...blank(provider), label: account.label, region: region ? region[0] : account.base_url ? "" : blank(provider).region, base_url: region ? "" : account.base_url || "",
    models: (account.models || []).join(", "), prefix: account.prefix || "", priority: String(account.priority), weight: String(account.weight),
    ...limitForm(account),
  };
}

const needsAddress = (provider) => provider.custom || provider.local;

/** Problems of the form by field name, in the words shown beside the field. */
function check(form, provider, account) {
  const wrong = limitProblems(form);
  if (!form.label.trim()) wrong.label = "Every account needs a name.";
  else if (accounts.value.some((other) => other.label === form.label.trim() && (!account || other.id !== account.id))) wrong.label = `Another account is already called ${form.label.trim()}.`;
  if (/\s/.test(form.api_key.trim())) wrong.api_key = "A key has no spaces in it. Was more copied than the key?";
  else if (!account && provider.auth !== "none" && !provider.custom && !form.api_key.trim()) wrong.api_key = "The provider needs a key.";
  if (form.base_url.trim() && !/^(https?|demo):\/\/[^\s]+$/.test(form.base_url.trim())) wrong.base_url = "An address begins with http:// or https://.";
  else if (provider.custom && !provider.base_url && !form.base_url.trim()) wrong.base_url = "Where does the server listen?";
  if (whole(form.priority, -1000) === null) wrong.priority = "A whole number.";
  if (whole(form.weight, 1) === null) wrong.weight = "A whole number from 1.";
  for (const line of form.headers.split("\n")) if (line.trim() && !/^[\w!#$%&'*+.^`|~-]+\s*:/.test(line)) wrong.headers = `“${line.trim().slice(0, 40)}” is not “Name: value”.`;
  return wrong;
}

/** The account body of the admin API. Secrets that were left empty are left out: they stay as they are. */
function body(form, provider, account) {
  const regions = provider.regions || {};
  const regionUrl = form.region && regions[form.region] !== provider.default_base_url ? regions[form.region] : "";
  const out = {
    label: form.label.trim(), base_url: form.base_url.trim() || regionUrl || "", models: words(form.models), prefix: form.prefix.trim(),
    priority: whole(form.priority, -1000), weight: whole(form.weight, 1), ...limitBody(form, account),
  };
  if (form.api_key.trim()) out.api_key = form.api_key.trim();
  if (form.proxy_url.trim()) out.proxy_url = form.proxy_url.trim();
  else if (form.drop_proxy) out.proxy_url = "";
  if (form.headers.trim()) out.headers = Object.fromEntries(form.headers.split("\n").filter((line) => line.trim()).map((line) => [line.slice(0, line.indexOf(":")).trim(), line.slice(line.indexOf(":") + 1).trim()]));
  else if (form.drop_headers) out.headers = {};
  if (account) {
    const same = (name) => JSON.stringify(out[name]) === JSON.stringify(account[name] ?? (name === "models" ? [] : COUNTS.includes(name) ? null : ""));
    for (const name of ["label", "base_url", "models", "prefix", "priority", "weight", ...COUNTS]) if (same(name)) delete out[name];
    if (said(out.budget) === said(account.budget)) delete out.budget;
    return out;
  }
  return { provider: provider.id, auth: provider.auth === "none" || (provider.custom && !out.api_key) || (provider.local && !out.api_key) ? "none" : "api_key", enabled: true, ...out };
}

function TestResult({ result, provider }) {
  if (!result) return null;
  if (result.ok) {
    const list = result.models || [];
    return html`<div class="verdict good" role="status"><${Dot} shape="circle" tone="ok" /><div class="stack tight"><span class="strong">Works${result.latency_ms === null || result.latency_ms === undefined ? "" : ` · answered in ${ms(result.latency_ms)}`}</span>
      <span class="sm t2 wrap">${list.length ? html`${plural(list.length, "model")}: <span class="mono">${list.slice(0, 6).join(", ")}</span>${list.length > 6 ? ` and ${list.length - 6} more` : ""}` : "It lists no models: requests name them."}</span></div></div>`;
  }
  return html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><div class="stack tight"><span class="strong">${result.status ? `${provider.label} answered ${result.status}` : `${provider.label} could not be reached`}</span>
    ${result.message ? html`<q class="sm wrap">${result.message}</q>` : null}</div></div>`;
}

function Form({ provider, account, focus, onBack }) {
  const [form, setForm] = useState(() => (account ? filled(account, provider) : blank(provider)));
  const [tried, setTried] = useState(false);
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState("");
  const [result, setResult] = useState(null);
  const [warned, setWarned] = useState(false);
  const [dirty, setDirty] = useState(false);
  const ref = useRef(null);
  const set = (name) => (value) => {
    const next = { ...form, [name]: value };
    setForm(next);
    setDirty(true);
    setWarned(false);
    if (name !== "label") setResult(null);
    if (tried) setWrong(check(next, provider, account));
  };
  useEffect(() => {
    const field = ref.current.querySelector(focus ? `[name=${focus}]` : account ? "[name=label]" : "input, select");
    if (field) field.focus();
  }, []);

  const valid = () => {
    const found = check(form, provider, account);
    setTried(true);
    setWrong(found);
    const first = Object.keys(found)[0];
    if (first) showField(ref.current, first);
    return !first;
  };
  const refuse = (error) => {
    const field = error instanceof ApiError ? fieldOf(error.param) : "";
    if (field in form) {
      setWrong({ [field]: error.message });
      showField(ref.current, field);
    } else if (error instanceof ApiError && error.status === 409) setWrong({ label: error.message });
    else setWrong({ form: error.message });
  };
  // An edited account whose key stays hidden can only be tested as it is saved; with a new key the form itself is tested.
  const signed = account && account.auth === "oauth";
  const storedTest = account && !form.api_key.trim() && (signed || provider.auth !== "none");
  const runTest = async () => {
    if (!valid()) return;
    setBusy("test");
    setResult(null);
    try {
      const fresh = body(form, provider, null);
      setResult(storedTest ? await post(`/api/accounts/${account.id}/test`) : await post("/api/accounts/test", fresh));
    } catch (error) {
      refuse(error);
    }
    setBusy("");
  };
  const save = async (event) => {
    if (event) event.preventDefault();
    if (!valid()) return;
    if (!account && !provider.demo && !(result && result.ok) && !warned) return setWarned(true);
    setBusy("save");
    try {
      const saved = await saveAccount(account ? account.id : null, body(form, provider, account));
      closeDialog();
      toast(account ? `${saved.label} saved.` : `${saved.label} is connected.`, { tone: "ok" });
    } catch (error) {
      refuse(error);
      setBusy("");
    }
  };

  const regions = Object.entries(provider.regions || {});
  const text = (name, label, more = {}) => html`<${TextField} label=${label} name=${name} value=${form[name]} onInput=${set(name)} error=${wrong[name]} ...${more} />`;
  const keyOptional = provider.custom || provider.local || provider.auth === "none";
  const foot = html`<${Button} icon="zap" busy=${busy === "test"} onClick=${runTest}>Test${storedTest && dirty ? " as saved" : ""}<//><span class="grow" />
    ${onBack ? html`<${Button} kind="ghost" onClick=${onBack}>Back<//>` : null}
    <${Button} kind="primary" type="submit" form="account-form" busy=${busy === "save"}>${warned ? "Save anyway" : account ? "Save" : "Connect"}<//>`;

  const notice = result || warned || wrong.form ? html`<${TestResult} result=${result} provider=${provider} />
      ${warned && !wrong.form ? html`<div class="verdict caution" role="alert"><${Dot} shape="half" tone="warn" /><span>${result ? "The test failed." : "This account has not been tested."} It can be saved, but a wrong key will only show at the first request.</span></div>` : null}
      ${wrong.form ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong.form}</span></div>` : null}` : null;

  return html`<${Dialog} title=${account ? `Edit ${account.label}` : `Connect ${provider.label}`} sub=${account ? provider.label : null} onClose=${closeDialog} dirty=${dirty} notice=${notice} foot=${foot}>
    <form id="account-form" ref=${ref} class="form" onSubmit=${save} autocomplete="off">
      ${provider.demo ? html`<div class="callout"><${Icon} name="flask-conical" /><p>The demo provider is built in and never leaves this machine. Its answers say that they are a demo. <span class="mono">auto</span> stops using it as soon as a real account is connected.</p></div>` : null}
      ${regions.length > 1 ? html`<${Select} label="Region" name="region" value=${form.region} onChange=${set("region")} options=${[...regions.map(([name, url]) => [name, `${name} · ${new URL(url).host}`]), ...(account && !form.region ? [["", "own address (below)"]] : [])]} />` : null}
      ${needsAddress(provider) ? text("base_url", "Address", { placeholder: provider.base_url || "https://example.net/v1", hint: provider.local ? `Leave empty for ${provider.base_url}.` : "With the version part of the path, for example /v1.", optional: provider.local, inputmode: "url" }) : null}
      ${signed ? html`<div class="callout"><${Icon} name="shield-check" /><div class="stack grow"><span class="wrap">Signed in${signedInAs(account) ? html` as <b>${signedInAs(account)}</b>` : ""}.</span></div>${provider.sign_in ? html`<${Button} small onClick=${() => signInAgain(account)}>Sign in again<//>` : null}</div>` : null}
      ${signed || (provider.auth === "none" && !provider.local) ? null : text("api_key", "API key", {
        secret: true, optional: keyOptional && !account, placeholder: account ? (account.key_hint ? `${account.key_hint} (kept when left empty)` : "kept when left empty") : provider.key_hint || "",
        hint: provider.key_url ? html`Made at <a class="link" href=${safeUrl(provider.key_url)} target="_blank" rel="noreferrer noopener">${host(provider.key_url)}</a>. Stored encrypted on this machine, never shown again.` : "Stored encrypted on this machine, never shown again." })}
      ${text("label", "Name", { hint: html`Unique. Requests can ask for it: <span class="mono">${form.label.trim() || provider.id}/model</span>`, maxlength: 64 })}
      ${provider.terms ? html`<p class="terms sm t3"><${Icon} name="shield-check" size=${14} /><span><${Prose} text=${provider.terms} /></span></p>` : null}
      <details class="more" open=${focus === "amount"}><summary><${Icon} name="chevron-right" size=${14} />Limits</summary><div class="form"><${LimitFields} form=${form} set=${set} wrong=${wrong} /></div></details>
      <details class="more"><summary><${Icon} name="chevron-right" size=${14} />Advanced</summary><div class="form two">
        ${needsAddress(provider) ? null : text("base_url", "Address", { placeholder: provider.base_url, hint: "Only to replace the provider's own.", optional: true })}
        ${text("models", "Models", { area: true, rows: 2, hint: "Best first. Empty: whatever the provider lists.", placeholder: (provider.default_models || []).slice(0, 2).join(", ") })}
        ${text("prefix", "Prefix", { hint: "Requests may say prefix/model.", optional: true })}
        ${text("priority", "Priority", { hint: "Higher is tried first.", inputmode: "numeric" })}
        ${text("weight", "Weight", { hint: "Its share among equals.", inputmode: "numeric" })}
        ${account ? html`<${OwnBalance} account=${account} />` : null}
        ${text("proxy_url", "Proxy", { placeholder: account && account.proxy ? "set (kept when left empty)" : "http://host:port", optional: true, hint: account && account.proxy ? html`<label class="inline"><input type="checkbox" checked=${form.drop_proxy} onChange=${(event) => set("drop_proxy")(event.currentTarget.checked)} /> remove the proxy</label>` : null })}
        ${text("headers", "Extra headers", { area: true, rows: 2, placeholder: "Name: value", hint: account ? html`Kept when left empty. <label class="inline"><input type="checkbox" checked=${form.drop_headers} onChange=${(event) => set("drop_headers")(event.currentTarget.checked)} /> remove all</label>` : "One per line." })}
      </div></details>
    </form><//>`;
}

const safeUrl = (url) => (/^https?:\/\//.test(url) ? url : null);
function host(url) {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

export function Connect({ provider: wanted }) {
  const [picked, setPicked] = useState(() => (wanted && providersById.value.get(wanted)) || null);
  const [byKey, setByKey] = useState(false);
  const back = () => {
    setByKey(false);
    setPicked(null);
  };
  if (picked && picked.command) return html`<${CommandForm} key=${picked.id} provider=${picked} onBack=${back} />`;
  if (picked && picked.sign_in && !byKey) return html`<${SignIn} key=${picked.id} provider=${picked.id} onBack=${back} onKey=${picked.key_url || picked.key_hint ? () => setByKey(true) : null} />`;
  if (picked) return html`<${Form} key=${picked.id} provider=${picked} onBack=${picked.sign_in ? () => setByKey(false) : back} />`;
  return html`<${Dialog} title="Connect an account" sub="One credential at one provider. You can connect several at the same provider." width=${640} onClose=${closeDialog}><${Picker} onPick=${setPicked} /><//>`;
}

export function Edit({ id, focus }) {
  const [account] = useState(() => accounts.value.find((other) => other.id === id)); // A live update must not touch unsaved edits.
  const provider = account && (providersById.value.get(account.provider) || { id: account.provider, label: account.provider_label || account.provider, auth: account.auth === "none" ? "none" : "api_key", regions: {} });
  if (account && provider.command) return html`<${CommandForm} provider=${provider} account=${account} focus=${focus} />`;
  return account ? html`<${Form} provider=${provider} account=${account} focus=${focus} />` : null;
}
