// Settings as the server describes them, and the facts of the running process.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { get, loadSession, post, session } from "../api.js";
import { absolute, uptime } from "../format.js";
import { resync, system } from "../live.js";
import { counted, said, t } from "../texts.js";
import { Backup } from "./backup.js";
import { Files } from "./files.js";
import { Update } from "./update.js";
import { Button, Copy, Dot, html, Icon, oops, Skeleton, Switch, TextField, toast } from "../ui.js";

/** Title, the settings that belong there (the first group that fits), and where to read on. */
const GROUPS = [
  [t("Listening"), /^(host|port|(client|admin)_(bind|state)|workers|server|jobs|node_name|open_browser|body_limit_mb|keepalive_s|drain_s|leave_s)$/],
  ["TLS", /_tls_(cert|key)$/],
  [t("Who may enter"), /^(allow_remote|admin_password|first_password|client_auth|required_api_key|trusted_proxies|cors_origins)$/],
  [t("Routing"), /^(default_model|default_provider|strategy|spoof_unknown_models|filtered_falls_over|continue_broken_streams|max_error_count|guessed_cooldown_max_s|wait_for_account_s|endpoints_file)$/, ["#/routing", t("Chains and aliases")]],
  [t("Time limits and retries"), /^(connect|first_byte|idle|whole|total)_timeout_s$|^max_attempts$|^attempts_|^retry_/],
  [t("Accounts that are out"), /^probe_/],
  [t("Quota and sign-ins"), /^(quota_refresh_interval|connectors)$/, ["#/quota", t("Quota")]],
  [t("Kept answers"), /^(responses_store|kept_days)$/],
  [t("Media by URL"), /^fetch_/],
  [t("Proxies"), /^use_system_proxy_/],
  [t("Alerts"), /^alert_/, ["#/alerts", t("Channels")]],
  [t("Retention"), /^(retention_|keep_requests|disk_reserve|snapshot)/],
  [t("Database"), /^(database_|group_commit_ms|spill_)/],
  [t("Log"), /^log_/],
  [t("Log of prompts and answers"), /^prompt_log_/],
  [t("Monitoring"), /^(monitor_key|tracing|trace_)/],
  [t("Other"), /./],
];

const MASKED = /^[•*]{3,}$/;

const asText = (value) => (Array.isArray(value) ? value.join(", ") : value === null || value === undefined ? "" : String(value));

function parse(kind, text) {
  if (kind === "int" || kind === "float") {
    const value = Number(text.replaceAll("_", ""));
    return text.trim() === "" || !Number.isFinite(value) || (kind === "int" && !Number.isInteger(value)) ? { error: kind === "int" ? t("A whole number.") : t("A number.") } : { value };
  }
  if (kind === "list") return { value: text.split(/[\s,]+/).filter(Boolean) };
  return { value: text };
}

function Setting({ item, draft, error, onChange, onReset }) {
  const id = "set-" + item.name;
  const fixed = item.source === "environment" || item.stored === false;
  const secret = item.secret || MASKED.test(item.value);
  const shown = draft !== undefined ? draft : secret ? "" : asText(item.value);
  const control = item.kind === "bool"
    ? html`<${Switch} on=${draft !== undefined ? draft : item.value === true || item.value === "true"} label=${item.name} disabled=${fixed} onChange=${onChange} />`
    : item.choices && item.choices.length
    ? html`<select class="input" id=${id} name=${item.name} value=${shown} disabled=${fixed} aria-describedby=${id + "-help"} onChange=${(event) => onChange(event.currentTarget.value)}>${item.choices.map((choice) => html`<option key=${choice} value=${choice} selected=${choice === shown}>${choice}</option>`)}</select>`
    : html`<input class="input" id=${id} name=${item.name} value=${shown} disabled=${fixed} spellcheck=${false} autocomplete="off" type=${secret ? "password" : "text"} inputmode=${item.kind === "int" || item.kind === "float" ? "decimal" : null}
        placeholder=${secret ? (item.value ? t("set (kept when left empty)") : t("not set")) : asText(item.default)} aria-describedby=${id + "-help"} aria-invalid=${error ? "true" : null} onInput=${(event) => onChange(event.currentTarget.value)} />`;
  const where = item.source === "environment" ? t("fixed by {name} in the environment", { name: item.env })
    : fixed ? t("default · set {name} in the environment", { name: item.env })
    : item.source === "database" ? html`${t("changed here")} · <button type="button" class="btn link" onClick=${onReset}>${t("back to {value}", { value: asText(item.default) || t("empty") })}</button>` : t("default");
  return html`<div class=${"setting" + (draft !== undefined ? " changed" : "")}><div class="setting-text"><label for=${item.kind === "bool" ? null : id} class="mono">${item.name}</label><p class="t3 sm" id=${id + "-help"}>${said(item.help)}</p></div>
    <div class="setting-control">${control}<div class=${"xs " + (error ? "bad" : "t4")}>${error || where}</div></div></div>`;
}

function Config() {
  const [config, setConfig] = useState(null);
  const [drafts, setDrafts] = useState({});
  const [errors, setErrors] = useState({});
  const [busy, setBusy] = useState(false);
  const [wanted, setWanted] = useState("");
  const load = () => get("/api/config").then(setConfig).catch((error) => { oops(error); setConfig((old) => old || { settings: [] }); });
  useEffect(() => {
    load();
  }, [resync.value]);
  if (!config) return html`<${Skeleton} rows=${8} />`;
  const change = (item) => (value) => {
    const next = { ...drafts, [item.name]: value };
    const before = item.kind === "bool" ? item.value === true || item.value === "true" : item.secret || MASKED.test(item.value) ? "" : asText(item.value);
    if (value === before) delete next[item.name];
    setDrafts(next);
    setErrors({ ...errors, [item.name]: undefined });
  };
  const save = async (event) => {
    event.preventDefault();
    const wrong = {}, body = {};
    for (const [name, draft] of Object.entries(drafts)) {
      const result = typeof draft === "boolean" ? { value: draft } : parse(config.settings.find((item) => item.name === name).kind, draft);
      if (result.error) wrong[name] = result.error;
      else body[name] = result.value;
    }
    setErrors(wrong);
    if (Object.keys(wrong).length) return setWanted(""); // What is wrong has to be in sight.
    setBusy(true);
    try {
      await post("/api/config", body);
      setDrafts({});
      await load();
      toast(t("Settings saved. They apply at once."), { tone: "ok" });
    } catch (error) {
      if (error.param && error.param in body) {
        setErrors({ [error.param]: error.message });
        setWanted("");
      } else oops(error);
    }
    setBusy(false);
    return undefined;
  };
  const reset = async (item) => {
    try {
      await post("/api/config", { [item.name]: null });
      await load();
    } catch (error) {
      oops(error);
    }
  };
  const count = Object.keys(drafts).length;
  const words = wanted.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (item) => words.every((word) => [item.name, item.env, item.help, said(item.help)].some((text) => text.toLowerCase().includes(word)));
  const listed = config.settings.filter(fits);
  const used = new Set();
  return html`<form class="config" onSubmit=${save}><input class="input" type="search" aria-label=${t("Find a setting")} placeholder=${t("Find a setting")} spellcheck=${false} autocomplete="off" value=${wanted}
    onInput=${(event) => setWanted(event.currentTarget.value)} onKeyDown=${(event) => event.key === "Enter" && event.preventDefault()} />
    ${listed.length ? null : html`<p class="t3 sm" role="status">${t("No setting is called that.")}</p>`}${GROUPS.map(([title, belongs, more]) => {
    const members = listed.filter((item) => !used.has(item.name) && belongs.test(item.name));
    members.forEach((item) => used.add(item.name));
    return members.length ? html`<section class="section" key=${title}><div class="section-head"><h2>${title}</h2>${more ? html`<a class="more" href=${more[0]}>${more[1]}</a>` : null}</div><div class="sheet settings">${members.map((item) => html`<${Setting} key=${item.name} item=${item} draft=${drafts[item.name]} error=${errors[item.name]} onChange=${change(item)} onReset=${() => reset(item)} />`)}</div></section>` : null;
  })}
    ${count ? html`<div class="save-bar" role="group" aria-label=${t("Unsaved settings")}><span>${counted(count, "{n} change not saved", "{n} changes not saved")}</span><span class="grow" /><${Button} kind="ghost" onClick=${() => { setDrafts({}); setErrors({}); }}>${t("Discard")}<//><${Button} kind="primary" type="submit" busy=${busy}>${t("Save")}<//></div>` : null}</form>`;
}

function System() {
  const s = system.value;
  if (!s) return null;
  const crew = (s.nodes || []).reduce((all, { node }) => ({ ...all, [node || "–"]: (all[node || "–"] || 0) + 1 }), {});
  const names = Object.keys(crew).sort().map((node) => node + (crew[node] > 1 ? ` × ${crew[node]}` : ""));
  const fact = (name, value, copyable) => (value === null || value === undefined || value === "" ? null : html`<div><dt>${name}</dt><dd class=${copyable ? "flex" : ""}><span class="wrap ${copyable ? "mono sm" : ""}">${value}</span>${copyable ? html`<${Copy} text=${String(value)} what=${name} />` : null}</dd></div>`);
  return html`<section class="section"><div class="section-head"><h2>${t("This server")}</h2><a class="more" href="#/jobs">${t("Jobs in the background")}</a></div><div class="sheet pad"><dl class="facts">
    ${fact(t("Version"), s.version)}${fact(t("Address"), s.base_url, true)}${fact(t("Home"), s.home, true)}${fact(t("Database"), s.database, true)}
    ${fact(t("Running for"), s.uptime_s === undefined ? null : html`<span title=${absolute(s.started_at)}>${uptime(s.uptime_s)}</span>`)}${fact(t("Memory"), s.memory_mb === undefined ? null : `${Math.round(s.memory_mb)} MB`)}
    ${fact(t("Processor time"), s.cpu_s === undefined ? null : `${Number(s.cpu_s).toFixed(1)} s`)}${fact(t("Process"), s.pid)}${names.length > 1 ? [fact(t("Node"), s.node), fact(t("Nodes"), names.join(", "))] : null}${fact("Python", s.python)}${fact(t("Server"), s.server)}</dl></div></section>`;
}

/** The dashboard's password: on this machine it is a choice, for other machines a must. */
function Password() {
  const set = Boolean(session.value && session.value.password_set);
  const [current, setCurrent] = useState("");
  const [wanted, setWanted] = useState("");
  const [busy, setBusy] = useState(false);
  const change = async (password) => {
    setBusy(true);
    try {
      await post("/api/admin-password", { password, current });
      await loadSession();
      setCurrent("");
      setWanted("");
      toast(password ? t("The password is set. Other sessions have ended.") : t("The password is removed. The dashboard opens on this machine without one."));
    } catch (error) {
      oops(error);
    }
    setBusy(false);
  };
  const submit = (event) => {
    event.preventDefault();
    change(wanted);
  };
  return html`<section class="section"><div class="section-head"><h2>${t("Password")}</h2></div><form class="sheet pad stack" onSubmit=${submit}>
    <p class="t3 sm">${set ? t("The dashboard asks for a password.") : t("On this machine the dashboard opens without a password. Other machines can only be let in once there is one.")}</p>
    ${set ? html`<${TextField} label=${t("Current password")} value=${current} onInput=${setCurrent} secret autocomplete="current-password" />` : null}
    <${TextField} label=${t("New password")} hint=${t("At least 8 characters.")} value=${wanted} onInput=${setWanted} secret autocomplete="new-password" minlength="8" />
    <div class="row-actions"><${Button} type="submit" kind="primary" busy=${busy} disabled=${wanted.length < 8 || (set && !current)}>${set ? t("Change password") : t("Set password")}<//>
      ${set ? html`<${Button} kind="ghost" disabled=${!current} onClick=${() => change("")}>${t("Remove password")}<//>` : null}</div></form></section>`;
}

export function Settings() {
  const signOut = async () => {
    try {
      await post("/api/logout");
      location.reload();
    } catch (error) {
      oops(error);
    }
  };
  return html`<div class="page narrow"><div class="page-head"><h1>${t("Settings")}</h1><div class="actions">${session.value && session.value.password_set ? html`<${Button} icon="log-out" onClick=${signOut}>${t("Sign out")}<//>` : null}</div></div>
    <${System} /><${Update} /><${Password} /><${Backup} /><${Files} /><${Config} /></div>`;
}
