// Connecting an account by signing in at its provider: terms, the provider's page or a code, and what to do when it cannot come back.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { ApiError, get, post } from "../api.js";
import { openTab } from "../actions.js";
import { accounts, providers, providersById, putAccount } from "../live.js";
import { Button, closeDialog, Copy, Dialog, Dot, html, Icon, In, Prose, TextField, toast } from "../ui.js";
import { parts, said, t } from "../texts.js";

const LOOK_MS = 1000;
const DESCRIBED = `{"authorization": "https://id.example/authorize", "token": "https://id.example/token",\n "client_id": "abc", "scopes": ["openid", "api"]}`;
const web = (url) => (/^https?:\/\//.test(url || "") ? url : null);
const identity = (account) => (account.options && account.options.identity) || {};
/** "Codex (ChatGPT sign-in of the Codex client)" → "Codex": what stands in brackets is for the list, where there are several. */
const shortName = (provider) => provider.label.replace(/ \(.*\)$/, "");
/** Who an account's sign-in belongs to, "" when the provider does not say. */
export const signedInAs = (account) => identity(account).email || identity(account).name || "";

/** What the user wrote as JSON. Rejects in words that name the field. */
function described(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw Object.assign(new ApiError(400, { error: { message: t("This is not JSON yet.") } }), { param: "oauth" });
  }
}

// ------------------------------------------------------------------ before: name, terms, what the provider wants
function Before({ provider, account, form, set, wrong, asks }) {
  const how = provider.sign_in;
  const pair = how.client_env[0] || [];
  const variables = pair[0] ? html` (<span class="mono">${pair[0]}</span>, <span class="mono">${pair[1]}</span>)` : null;
  return html`<div class="form">
    ${how.notice || asks.off ? html`<div class=${asks.off ? "callout caution" : "callout"} role=${asks.off ? "alert" : null}><${Icon} name="shield-check" /><div class="stack">
      ${asks.off ? html`<p class="wrap strong">${t("This sign-in is off until you decide for it.")}</p>` : null}${how.notice ? html`<p class="wrap"><${Prose} text=${said(how.notice)} /></p>` : null}
      ${asks.notice ? html`<label class="inline"><input type="checkbox" name="acknowledged" checked=${form.acknowledged} onChange=${(event) => set("acknowledged")(event.currentTarget.checked)} /> ${t("I have read this and sign in all the same.")}</label>` : null}</div></div>` : null}
    ${account ? null : html`<${TextField} label=${t("Name")} name="label" value=${form.label} onInput=${set("label")} error=${wrong.label} optional maxlength=${64} placeholder=${provider.id} hint=${t("Unique. An account that has this name already is signed in again.")} />`}
    ${how.own_client ? html`<p class="sm t3 wrap">${t("{name} is signed in to with an OAuth client of your own.", { name: shortName(provider) })} ${account ? parts("Leave the two fields empty when it is in the environment{names} or was given before.", { names: variables }) : parts("Leave the two fields empty when it is in the environment{names}.", { names: variables })}</p>
      <${TextField} label=${t("Client id")} name="client_id" value=${form.client_id} onInput=${set("client_id")} error=${wrong.client_id} optional />
      <${TextField} label=${t("Client secret")} name="client_secret" secret value=${form.client_secret} onInput=${set("client_secret")} error=${wrong.client_secret} optional />` : null}
    ${how.described && !account ? html`<${TextField} label=${t("API address")} name="inference" value=${form.inference} onInput=${set("inference")} error=${wrong.inference} placeholder="https://api.example/v1" inputmode="url" />
      <${TextField} label=${t("The sign-in, as JSON")} name="oauth" area rows=${5} value=${form.oauth} onInput=${set("oauth")} error=${wrong.oauth} placeholder=${DESCRIBED} hint=${t("Addresses, client id and scopes of your application there.")} />
      <${TextField} label=${t("Client secret")} name="client_secret" secret value=${form.client_secret} onInput=${set("client_secret")} error=${wrong.client_secret} optional />` : null}
    ${how.project ? html`<${TextField} label=${t("Google Cloud project")} name="project" value=${form.project} onInput=${set("project")} error=${wrong.project} optional hint=${t("Its id, for accounts that need one of yours.")} />` : null}
  </div>`;
}

// ------------------------------------------------------------------ while it waits
function DeviceCode({ flow }) {
  const page = web(flow.verification_uri_complete) || web(flow.verification_uri);
  return html`<div class="form">
    <p class="t2 wrap">${said(flow.manual)}</p>
    <div class="flex gap5"><output class="user-code mono" data-testid="user-code">${flow.user_code}</output><${Copy} text=${flow.user_code} what=${t("Code")} /></div>
    ${page ? html`<p><a class="link" href=${page} target="_blank" rel="noreferrer noopener">${t("Open {site}", { site: new URL(page).host })}</a></p>` : null}
    <${Waiting} flow=${flow} /></div>`;
}

function Page({ flow, paste, setPaste, onPaste, busy, problem }) {
  return html`<div class="form">
    <p class="t2 wrap">${parts("Sign in on the provider's page and come back here. If no tab was opened: {page}", { page: html`<a class="link" href=${web(flow.authorization_url)} target="_blank" rel="noreferrer noopener">${t("open the sign-in page")}</a>` })} <${Copy} text=${flow.authorization_url} what=${t("Address")} /></p>
    <${Waiting} flow=${flow} />
    ${flow.port_problem ? html`<div class="verdict caution" role="alert"><${Dot} shape="half" tone="warn" /><span class="wrap">${flow.port_problem}</span></div>` : null}
    <details class="more" open=${!flow.listening || !!problem}><summary><${Icon} name="chevron-right" size=${14} />${t("The page cannot come back? Paste the address instead")}</summary>
      <form class="form" onSubmit=${onPaste}><p class="sm t3 wrap">${said(flow.manual)}</p>
        <${TextField} label=${t("Address or code")} name="pasted" area rows=${2} value=${paste} onInput=${setPaste} error=${problem} />
        <div><${Button} small type="submit" busy=${busy} disabled=${!paste.trim()}>${t("Use it")}<//></div></form></details></div>`;
}

const Waiting = ({ flow }) => html`<p class="flex gap5 t3 sm" role="status"><${Dot} shape="pulse" tone="accent" /><span>${parts("Waiting for you to finish there. It ends in {time}.", { time: html`<${In} at=${flow.expires_at} />` })}</span></p>`;

/** "options.oauth.token" → the field of the form that holds it. */
const field = (param) => (param || "").replace(/^options\.(endpoints\.)?/, "").split(".")[0];

// ------------------------------------------------------------------ the dialog
export function SignIn({ provider: providerId, id, tab, begin, onBack, onKey }) {
  const provider = providersById.value.get(providerId);
  const [account] = useState(() => accounts.value.find((other) => other.id === id) || null);
  const [form, setForm] = useState({ label: "", client_id: "", client_secret: "", project: "", inference: "", oauth: "", acknowledged: false });
  const [asks, setAsks] = useState({ notice: false, off: !provider.sign_in.on });
  const [wrong, setWrong] = useState({});
  const [flow, setFlow] = useState(null);
  const [busy, setBusy] = useState("");
  const [paste, setPaste] = useState("");
  const [problem, setProblem] = useState("");
  const open = useRef(null); // The flow that still waits, for whoever closes the dialog.
  const set = (name) => (value) => {
    setForm((before) => ({ ...before, [name]: value }));
    setWrong({});
  };

  const start = async (way, page) => {
    setBusy(way || "start");
    setWrong({});
    try {
      if (asks.off) await switchOn();
      const { inference, oauth, ...plain } = form;
      const body = Object.fromEntries(Object.entries(plain).filter(([, value]) => value !== "" && value !== false));
      if (provider.sign_in.described && !account) body.options = { oauth: described(oauth), endpoints: { inference: inference.trim() } };
      if (account) body.account = account.id;
      if (way) body.way = way;
      const begun = await post(`/api/oauth/${encodeURIComponent(provider.id)}/start`, body);
      open.current = begun.flow_id;
      setFlow(begun);
      if (page && web(begun.authorization_url)) page.location.replace(begun.authorization_url);
      else if (page) page.close();
    } catch (error) {
      if (page) page.close();
      refuse(error);
    }
    setBusy("");
  };
  const switchOn = async () => {
    const { settings } = await get("/api/config");
    const on = (settings.find((item) => item.name === "connectors") || {}).value || [];
    await post("/api/config", { connectors: [...new Set([...on, provider.id])] });
    setAsks((before) => ({ ...before, off: false }));
    providers.value = providers.value.map((other) => (other.id === provider.id ? { ...other, sign_in: { ...other.sign_in, on: true } } : other));
  };
  const refuse = (error) => {
    if (error instanceof ApiError && error.code === "notice") setAsks((before) => ({ ...before, notice: true }));
    else if (error instanceof ApiError && error.code === "connector_off") setAsks((before) => ({ ...before, off: true }));
    else if (error instanceof ApiError && field(error.param) in form) setWrong({ [field(error.param)]: error.message });
    else setWrong({ form: error.message });
  };

  useEffect(() => {
    if (begin && !asks.off) start("", tab);
    else if (tab) tab.close();
    return () => {
      if (open.current) post(`/api/oauth/flows/${open.current}/cancel`).catch(() => {}); // It ends by itself in any case.
    };
  }, []);

  const take = (told) => {
    if (told.status === "waiting") return setFlow((before) => ({ ...before, ...told }));
    open.current = null;
    if (told.status !== "done") {
      setFlow(null);
      return setWrong({ form: told.error || t("The sign-in was {status}.", { status: said(told.status) }) });
    }
    if (told.account) putAccount(told.account);
    closeDialog();
    const who = told.account && signedInAs(told.account);
    const name = told.account ? told.account.label : said(provider.label);
    toast(who ? t("{name} is connected as {who}.", { name, who }) : t("{name} is connected.", { name }), { tone: "ok" });
  };
  const flowId = flow && flow.flow_id;
  useEffect(() => {
    if (!flowId) return undefined;
    let over = false;
    const look = async () => {
      try {
        const told = await get(`/api/oauth/flows/${flowId}`);
        if (!over) take(told);
      } catch {
        // A server that restarts: the next look finds it again.
      }
      if (!over) timer = setTimeout(look, LOOK_MS);
    };
    let timer = setTimeout(look, LOOK_MS);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [flowId]);

  const onPaste = async (event) => {
    event.preventDefault();
    setBusy("paste");
    setProblem("");
    try {
      take(await post(`/api/oauth/flows/${flowId}/complete`, { code: paste.trim() }));
    } catch (error) {
      setProblem(error.message);
    }
    setBusy("");
  };

  const ways = provider.sign_in.ways;
  const blocked = asks.notice && !form.acknowledged;
  const title = account ? t("Sign in to {name} again", { name: account.label }) : provider.sign_in.described ? t("Connect with a sign-in of your own") : t("Sign in to {name}", { name: shortName(provider) });
  const notice = wrong.form ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong.form}</span></div>` : null;
  const foot = flow
    ? html`<span class="grow" /><${Button} onClick=${closeDialog}>${t("Cancel")}<//>`
    : html`${onBack ? html`<${Button} kind="ghost" onClick=${onBack}>${t("Back")}<//>` : null}${onKey ? html`<${Button} kind="ghost" onClick=${onKey}>${t("Use a key instead")}<//>` : null}<span class="grow" />
      ${ways.includes("device") && ways.length > 1 ? html`<${Button} busy=${busy === "device"} disabled=${blocked} onClick=${() => start("device", null)}>${t("Use a code")}<//>` : null}
      <${Button} kind="primary" icon="external-link" busy=${busy === "start"} disabled=${blocked} onClick=${() => start("", ways[0] === "device" ? null : openTab())}>${asks.off ? t("Switch on and sign in") : t("Sign in")}<//>`;
  return html`<${Dialog} title=${title} sub=${account ? signedInAs(account) || provider.label : t("Nothing you type on the provider's page passes through here.")} onClose=${closeDialog} dirty=${!!flow} notice=${notice} foot=${foot}>
    ${flow ? (flow.user_code ? html`<${DeviceCode} flow=${flow} />` : html`<${Page} flow=${flow} paste=${paste} setPaste=${setPaste} onPaste=${onPaste} busy=${busy === "paste"} problem=${problem} />`) : html`<${Before} provider=${provider} account=${account} form=${form} set=${set} wrong=${wrong} asks=${asks} />`}<//>`;
}
