// The dialog that connects an account or edits one: choose a provider, fill in what it needs, test, save.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { saveAccount, signInAgain } from "../actions.js";
import { ApiError, post } from "../api.js";
import { ms } from "../format.js";
import { fieldOf, limitBody, LimitFields, limitForm, limitProblems, said as budgetSays, showField } from "../limits.js";
import { accounts, providers, providersById } from "../live.js";
import { Button, closeDialog, Dialog, Dot, html, Icon, Monogram, Prose, Select, TextField, toast } from "../ui.js";
import { OwnBalance } from "../quota.js";
import { SignIn, signedInAs } from "./signin.js";
import { CommandForm } from "./connect_command.js";
import { Found } from "./connect_found.js";
import { counted, parts, said, t } from "../texts.js";

const GROUPS = [
  [t("Providers"), (provider) => !provider.local && !provider.custom && !provider.demo && !provider.command],
  [t("On this machine or network"), (provider) => provider.local || provider.command],
  [t("Your own address"), (provider) => provider.custom],
  [t("To look around"), (provider) => provider.demo],
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
  const match = (provider) => !wanted || `${provider.label} ${said(provider.label)} ${provider.id}`.toLowerCase().includes(wanted);
  const list = providers.value.filter((provider) => match(provider) && !provider.retired);
  const connected = (provider) => accounts.value.filter((account) => account.provider === provider.id).length;
  const first = (event) => {
    if (event.key === "Enter" && list.length) {
      event.preventDefault();
      onPick(list[0]);
    }
  };
  return html`<div class="picker">
    <label class="search"><${Icon} name="search" /><span class="sr">${t("Search providers")}</span><input class="input" type="search" spellcheck=${false} autocapitalize="off" autofocus placeholder=${t("Search providers")} value=${text} onInput=${(event) => setText(event.currentTarget.value)} onKeyDown=${first} /></label>
    ${wanted ? null : html`<${Found} />`}
    ${GROUPS.map(([title, belongs]) => {
      const members = list.filter(belongs);
      if (!members.length) return null;
      return html`<section key=${title} aria-label=${title}><h3 class="t3">${title}</h3><div class="picks">${members.map((provider) => html`<button type="button" class="pick" key=${provider.id} onClick=${() => onPick(provider)}>
        <${Monogram} provider=${provider} /><span class="stack none grow"><span class="cut">${said(provider.label)}</span>${connected(provider) ? html`<span class="xs t3">${t("{n} connected", { n: connected(provider) })}</span>` : null}</span></button>`)}</div></section>`;
    })}
    ${list.length ? null : html`<p class="t3 pad">${parts("No provider is called “{name}”. Any service that speaks the OpenAI or Anthropic API can be connected under “Your own address”: {all}", { name: text, all: html`<button type="button" class="btn link" onClick=${() => setText("")}>${t("show all")}</button>` })}</p>`}
  </div>`;
}

// ------------------------------------------------------------------ step 2: its fields
function blank(provider) {
  const regions = Object.entries(provider.regions || {});
  return {
    api_key: "", label: proposeLabel(provider), region: regions.length ? (regions.find(([, url]) => url === provider.default_base_url) || regions[0])[0] : "", base_url: "", models: "", prefix: "",
    priority: "0", weight: "1", proxy_url: "", headers: "", drop_proxy: false, drop_headers: false, usage_key: "", usage_project: "", drop_usage_key: false, ...limitForm(null),
  };
}

function filled(account, provider) {
  const region = Object.entries(provider.regions || {}).find(([, url]) => url === account.base_url);
  return {
    ...blank(provider), label: account.label, region: region ? region[0] : account.base_url ? "" : blank(provider).region, base_url: region ? "" : account.base_url || "",
    models: (account.models || []).join(", "), prefix: account.prefix || "", priority: String(account.priority), weight: String(account.weight),
    usage_project: optionsOf(account).usage_project || "", ...limitForm(account),
  };
}

const optionsOf = (account) => (account && account.options) || {};
const needsAddress = (provider) => provider.custom || provider.local;

/** Problems of the form by field name, in the words shown beside the field. */
function check(form, provider, account) {
  const wrong = limitProblems(form);
  if (!form.label.trim()) wrong.label = t("Every account needs a name.");
  else if (accounts.value.some((other) => other.label === form.label.trim() && (!account || other.id !== account.id))) wrong.label = t("Another account is already called {name}.", { name: form.label.trim() });
  if (/\s/.test(form.api_key.trim())) wrong.api_key = t("A key has no spaces in it. Was more copied than the key?");
  else if (!account && provider.auth !== "none" && !provider.custom && !form.api_key.trim()) wrong.api_key = t("The provider needs a key.");
  if (form.base_url.trim() && !/^(https?|demo):\/\/[^\s]+$/.test(form.base_url.trim())) wrong.base_url = t("An address begins with http:// or https://.");
  else if (provider.custom && !provider.base_url && !form.base_url.trim()) wrong.base_url = t("Where does the server listen?");
  if (/\s/.test(form.usage_key.trim())) wrong.usage_key = t("A key has no spaces in it. Was more copied than the key?");
  if (whole(form.priority, -1000) === null) wrong.priority = t("A whole number.");
  if (whole(form.weight, 1) === null) wrong.weight = t("A whole number from 1.");
  for (const line of form.headers.split("\n")) if (line.trim() && !/^[\w!#$%&'*+.^`|~-]+\s*:/.test(line)) wrong.headers = t("“{line}” is not “Name: value”.", { line: line.trim().slice(0, 40) });
  return wrong;
}

/** The account's options with the key that reads the bill as the form has it, null where that stays. What is masked is kept when it is sent back. */
function billOptions(form, account) {
  const before = optionsOf(account);
  const { usage_key: kept, usage_project: was, ...rest } = before;
  const key = form.drop_usage_key ? "" : form.usage_key.trim() || kept || "";
  const part = form.drop_usage_key ? "" : form.usage_project.trim();
  if (key === (kept || "") && part === (was || "")) return null;
  return { ...rest, ...(key ? { usage_key: key } : {}), ...(part ? { usage_project: part } : {}) };
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
    if (budgetSays(out.budget) === budgetSays(account.budget)) delete out.budget;
    const options = billOptions(form, account);
    if (options) out.options = options;
    return out;
  }
  return { provider: provider.id, auth: provider.auth === "none" || (provider.custom && !out.api_key) || (provider.local && !out.api_key) ? "none" : "api_key", enabled: true, ...out };
}

function TestResult({ result, provider }) {
  if (!result) return null;
  if (result.ok) {
    const list = result.models || [];
    return html`<div class="verdict good" role="status"><${Dot} shape="circle" tone="ok" /><div class="stack tight"><span class="strong">${result.latency_ms === null || result.latency_ms === undefined ? t("Works") : t("Works · answered in {time}", { time: ms(result.latency_ms) })}</span>
      <span class="sm t2 wrap">${list.length ? html`${counted(list.length, "{n} model", "{n} models")}: <span class="mono">${list.slice(0, 6).join(", ")}</span>${list.length > 6 ? ` ${t("and {n} more", { n: list.length - 6 })}` : ""}` : t("It lists no models: requests name them.")}</span></div></div>`;
  }
  return html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><div class="stack tight"><span class="strong">${result.status ? t("{name} answered {status}", { name: said(provider.label), status: result.status }) : t("{name} could not be reached", { name: said(provider.label) })}</span>
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
    const field = error instanceof ApiError ? fieldOf(error.param).replace(/^options\./, "") : "";
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
      toast(account ? t("{name} saved.", { name: saved.label }) : t("{name} is connected.", { name: saved.label }), { tone: "ok" });
    } catch (error) {
      refuse(error);
      setBusy("");
    }
  };

  const regions = Object.entries(provider.regions || {});
  const text = (name, label, more = {}) => html`<${TextField} label=${label} name=${name} value=${form[name]} onInput=${set(name)} error=${wrong[name]} ...${more} />`;
  const keyOptional = provider.custom || provider.local || provider.auth === "none";
  const foot = html`<${Button} icon="zap" busy=${busy === "test"} onClick=${runTest}>${storedTest && dirty ? t("Test as saved") : t("Test")}<//><span class="grow" />
    ${onBack ? html`<${Button} kind="ghost" onClick=${onBack}>${t("Back")}<//>` : null}
    <${Button} kind="primary" type="submit" form="account-form" busy=${busy === "save"}>${warned ? t("Save anyway") : account ? t("Save") : t("Connect")}<//>`;

  const notice = result || warned || wrong.form ? html`<${TestResult} result=${result} provider=${provider} />
      ${warned && !wrong.form ? html`<div class="verdict caution" role="alert"><${Dot} shape="half" tone="warn" /><span>${result ? t("The test failed.") : t("This account has not been tested.")} ${t("It can be saved, but a wrong key will only show at the first request.")}</span></div>` : null}
      ${wrong.form ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong.form}</span></div>` : null}` : null;

  return html`<${Dialog} title=${account ? t("Edit {name}", { name: account.label }) : t("Connect {name}", { name: said(provider.label) })} sub=${account ? said(provider.label) : null} onClose=${closeDialog} dirty=${dirty} notice=${notice} foot=${foot}>
    <form id="account-form" ref=${ref} class="form" onSubmit=${save} autocomplete="off">
      ${provider.demo ? html`<div class="callout"><${Icon} name="flask-conical" /><p>${parts("The demo provider is built in and never leaves this machine. Its answers say that they are a demo. {auto} stops using it as soon as a real account is connected.", { auto: html`<span class="mono">auto</span>` })}</p></div>` : null}
      ${regions.length > 1 ? html`<${Select} label=${t("Region")} name="region" value=${form.region} onChange=${set("region")} options=${[...regions.map(([name, url]) => [name, `${name} · ${new URL(url).host}`]), ...(account && !form.region ? [["", t("own address (below)")]] : [])]} />` : null}
      ${needsAddress(provider) ? text("base_url", t("Address"), { placeholder: provider.base_url || "https://example.net/v1", hint: provider.local ? t("Leave empty for {address}.", { address: provider.base_url }) : t("With the version part of the path, for example /v1."), optional: provider.local, inputmode: "url" }) : null}
      ${signed ? html`<div class="callout"><${Icon} name="shield-check" /><div class="stack grow"><span class="wrap">${signedInAs(account) ? parts("Signed in as {who}.", { who: html`<b>${signedInAs(account)}</b>` }) : t("Signed in.")}</span></div>${provider.sign_in ? html`<${Button} small onClick=${() => signInAgain(account)}>${t("Sign in again")}<//>` : null}</div>` : null}
      ${signed || (provider.auth === "none" && !provider.local) ? null : text("api_key", t("API key"), {
        secret: true, optional: keyOptional && !account, placeholder: account ? (account.key_hint ? t("{hint} (kept when left empty)", { hint: account.key_hint }) : t("kept when left empty")) : said(provider.key_hint || ""),
        hint: provider.key_url ? parts("Made at {site}. Stored encrypted on this machine, never shown again.", { site: html`<a class="link" href=${safeUrl(provider.key_url)} target="_blank" rel="noreferrer noopener">${host(provider.key_url)}</a>` }) : t("Stored encrypted on this machine, never shown again.") })}
      ${text("label", t("Name"), { hint: parts("Unique. Requests can ask for it: {name}", { name: html`<span class="mono">${form.label.trim() || provider.id}/model</span>` }), maxlength: 64 })}
      ${provider.terms ? html`<p class="terms sm t3"><${Icon} name="shield-check" size=${14} /><span><${Prose} text=${said(provider.terms)} /></span></p>` : null}
      <details class="more" open=${focus === "amount"}><summary><${Icon} name="chevron-right" size=${14} />${t("Limits")}</summary><div class="form"><${LimitFields} form=${form} set=${set} wrong=${wrong} /></div></details>
      <details class="more"><summary><${Icon} name="chevron-right" size=${14} />${t("Advanced")}</summary><div class="form two">
        ${needsAddress(provider) ? null : text("base_url", t("Address"), { placeholder: provider.base_url, hint: t("Only to replace the provider's own."), optional: true })}
        ${text("models", t("Models"), { area: true, rows: 2, hint: t("Best first. Empty: whatever the provider lists."), placeholder: (provider.default_models || []).slice(0, 2).join(", ") })}
        ${text("prefix", t("Prefix"), { hint: t("Requests may say prefix/model."), optional: true })}
        ${text("priority", t("Priority"), { hint: t("Higher is tried first."), inputmode: "numeric" })}
        ${text("weight", t("Weight"), { hint: t("Its share among equals."), inputmode: "numeric" })}
        ${account ? html`<${OwnBalance} account=${account} />` : null}
        ${text("proxy_url", t("Proxy"), { placeholder: account && account.proxy ? t("set (kept when left empty)") : "http://host:port", optional: true, hint: account && account.proxy ? html`<label class="inline"><input type="checkbox" checked=${form.drop_proxy} onChange=${(event) => set("drop_proxy")(event.currentTarget.checked)} /> ${t("remove the proxy")}</label>` : null })}
        ${text("headers", t("Extra headers"), { area: true, rows: 2, placeholder: "Name: value", hint: account ? html`${t("Kept when left empty.")} <label class="inline"><input type="checkbox" checked=${form.drop_headers} onChange=${(event) => set("drop_headers")(event.currentTarget.checked)} /> ${t("remove all")}</label>` : t("One per line.") })}
      </div></details>
      ${account && provider.usage_key && !signed ? html`<${Bill} account=${account} provider=${provider} form=${form} set=${set} text=${text} open=${/^usage_/.test(focus || "")} />` : null}
    </form><//>`;
}

/** The second key of an account: the one that may read what the provider bills. */
function Bill({ account, provider, form, set, text, open }) {
  const kept = !!optionsOf(account).usage_key;
  const hint = html`${t("Compares the books with the provider's own figures once a day. Needed:")} ${said(provider.usage_key.needs)}. ${t("Stored encrypted on this machine, never shown again.")}${kept ? html` <label class="inline"><input type="checkbox" name="drop_usage_key" checked=${form.drop_usage_key} onChange=${(event) => set("drop_usage_key")(event.currentTarget.checked)} /> ${t("remove the key")}</label>` : null}`;
  return html`<details class="more" open=${open}><summary><${Icon} name="chevron-right" size=${14} />${t("The provider's bill")}</summary><div class="form">
    ${text("usage_key", t("Key that reads the bill"), { secret: true, optional: !kept, disabled: form.drop_usage_key, placeholder: kept ? t("set (kept when left empty)") : "", hint })}
    ${text("usage_project", t("Only this part"), { optional: true, disabled: form.drop_usage_key, hint: parts("Here: {part}. Empty: the whole organisation is compared.", { part: said(provider.usage_key.part) }) })}
    ${account.base_url ? html`<p class="sm t3">${t("An account with an address of its own is not compared.")}</p>` : null}
  </div></details>`;
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
  return html`<${Dialog} title=${t("Connect an account")} sub=${t("One credential at one provider. You can connect several at the same provider.")} width=${640} onClose=${closeDialog}><${Picker} onPick=${setPicked} /><//>`;
}

export function Edit({ id, focus }) {
  const [account] = useState(() => accounts.value.find((other) => other.id === id)); // A live update must not touch unsaved edits.
  const provider = account && (providersById.value.get(account.provider) || { id: account.provider, label: account.provider_label || account.provider, auth: account.auth === "none" ? "none" : "api_key", regions: {} });
  if (account && provider.command) return html`<${CommandForm} provider=${provider} account=${account} focus=${focus} />`;
  return account ? html`<${Form} provider=${provider} account=${account} focus=${focus} />` : null;
}
