// The front page: what is wrong (only then), what is happening, the pool, the newest requests; and the first run for newcomers.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { signal } from "../vendor/signals.mjs";
import { connect, createKey, saveAccount } from "../actions.js";
import { baseUrl, get, query } from "../api.js";
import { midnight, ms, num, span, usd } from "../format.js";
import { arrivals, keys, now, ready, requests, resync, shownAccounts, unread } from "../live.js";
import { Notices, problems } from "../problems.js";
import { counted, parts, t } from "../texts.js";
import { Button, Copy, Dot, html, Icon, Ms, oops, Skeleton, Snippets, toast } from "../ui.js";
import { snippets } from "../snippets.js";
import { AccountTable } from "./account_table.js";
import { RequestTable } from "./request_table.js";
import { Found } from "./connect_found.js";
import { fresh, KeyBox, ShownOnce } from "./keys.js";

// ------------------------------------------------------------------ problems
const MOST_STRIPS = 4;
const MOST_ACCOUNTS = 20; // Those that are tried first; all of them have a page of their own.

function Problems() {
  const list = problems.value;
  if (!list.length) return null;
  return html`<section class="strips" aria-label=${t("Problems")}>${list.slice(0, MOST_STRIPS).map((problem) => html`<div key=${problem.id} class=${"strip " + problem.tone} role="group" aria-label=${problem.title}>
      <${Dot} shape=${problem.tone === "bad" ? "triangle" : "square"} tone=${problem.tone} /><div class="strip-text"><span class="strong">${problem.title}</span>
      <span class="t2 wrap">${typeof problem.text === "string" ? problem.text : t("Soonest back: {name}, in {time}.", { name: problem.text.label, time: span(problem.text.cooldown.until - now.value) })}</span></div>
      <${Button} small onClick=${problem.run}>${problem.action}<//></div>`)}
    ${list.length > MOST_STRIPS ? html`<a class="more-strips t3" href="#/accounts">${t("and {n} more", { n: list.length - MOST_STRIPS })} <${Icon} name="arrow-right" size=${13} /></a>` : null}</section>`;
}

// ------------------------------------------------------------------ today
const today = signal(null);
const REFRESH_MS = 2500;
let refreshTimer = 0;

async function loadToday() {
  refreshTimer = 0;
  try {
    today.value = (await get("/api/usage" + query({ group: "day", from: midnight() }))).total;
  } catch {
    // The strip keeps the numbers it has; the connection state is shown elsewhere.
  }
}
const refreshSoon = () => (refreshTimer = refreshTimer || setTimeout(loadToday, REFRESH_MS));

function medianFirst() {
  const times = requests.value.slice(0, 50).map((row) => row.first_token_ms).filter((value) => typeof value === "number").sort((a, b) => a - b);
  return times.length ? times[Math.floor(times.length / 2)] : null;
}

function Now() {
  useEffect(() => {
    loadToday();
  }, [resync.value]);
  useEffect(() => {
    if (arrivals.value.rows.some((row) => row.state === "settled")) refreshSoon();
  }, [arrivals.value]);
  const sum = today.value;
  const flying = shownAccounts.value.reduce((all, account) => all + (account.in_flight || 0), 0);
  const inFlight = Math.max(flying, requests.value.filter((row) => row.state === "open").length);
  const read = sum ? (sum.input || 0) + (sum.cache_read || 0) + (sum.cache_write || 0) : null;
  const tokens = { in: num(read), out: num(sum && (sum.output || 0)) };
  const stat = (label, value, note, title) => html`<div class="stat" title=${title || null}><dt>${label}</dt><dd>${value}</dd><dd class="stat-note">${note || "\u00a0"}</dd></div>`;
  return html`<dl class="stats">
    ${stat(t("In flight"), html`<span class=${inFlight ? "accent" : ""}>${inFlight}</span>`, inFlight ? t("right now") : t("idle"))}
    ${stat(t("Requests today"), sum ? num(sum.requests) : "–", sum && sum.failed ? html`<span class="bad">${t("{n} failed", { n: num(sum.failed) })}</span>` : sum && sum.requests ? t("none failed") : "")}
    ${stat(t("Cost today"), sum ? usd(sum.cost_usd) : "–", sum && sum.unpriced ? t("{n} of unknown price", { n: num(sum.unpriced) }) : sum && Number(sum.worth_usd) ? t("and {usd} worth by subscription", { usd: usd(sum.worth_usd) }) : "", sum && sum.cost_usd ? "$" + sum.cost_usd : "")}
    ${stat(t("Tokens today"), sum ? html`${tokens.in}<small> ${t("in")}</small> ${tokens.out}<small> ${t("out")}</small>` : "–", sum && sum.cache_read ? t("{share}% from cache", { share: Math.round((100 * sum.cache_read) / Math.max(1, read)) }) : "")}
    ${stat(t("First token"), ms(medianFirst()), t("median of the last 50"))}
  </dl>`;
}

// ------------------------------------------------------------------ first run
const HIDE = "omni-hide-first-run";
const hidden = signal(localStorage.getItem(HIDE) === "1");
const sawEmpty = signal(false); // The page was open before the first request: the light stays on to be seen.

async function tryDemo() {
  try {
    await saveAccount(null, { provider: "demo", label: "demo", auth: "none", enabled: true });
    toast(t("The demo provider is connected. It answers without any key."), { tone: "ok" });
  } catch (error) {
    oops(error);
  }
}

function Step({ n, title, state, children }) {
  return html`<li class=${"step " + state} aria-current=${state === "now" ? "step" : null}><span class="step-mark" aria-hidden="true">${state === "done" ? html`<${Icon} name="check" size=${13} />` : n}</span>
    <div class="step-body"><h2>${title}${state === "done" ? html`<span class="sr"> (${t("done")})</span>` : null}</h2>${children}</div></li>`;
}

function SendOne({ value }) {
  const [busy, setBusy] = useState(false);
  if (new URL(baseUrl()).port !== location.port) return null; // Split listeners: the client API is another origin, and the policy allows only our own.
  const send = async () => {
    setBusy(true);
    try {
      const response = await fetch("/v1/chat/completions", {
        method: "POST", credentials: "omit", headers: { "Content-Type": "application/json", Authorization: "Bearer " + value },
        body: JSON.stringify({ model: "auto", messages: [{ role: "user", content: t("Say hello in five words.") }] }),
      });
      const data = await response.json();
      if (!response.ok) throw new Error((data.error && data.error.message) || t("The gateway answered {status}.", { status: response.status }));
      toast(`“${data.choices[0].message.content}”`, { tone: "ok", life: 7000 });
    } catch (error) {
      oops(error);
    }
    setBusy(false);
  };
  return html`<${Button} icon="play" busy=${busy} onClick=${send}>${t("Send it from here")}<//>`;
}

function Light({ row }) {
  if (!row) return html`<div class="light" role="status"><span class="lamp" aria-hidden="true" /><span>${t("Waiting for the first request …")}</span></div>`;
  return html`<div class="light on" role="status"><span class="lamp" aria-hidden="true" /><span><b>${row.outcome === "failed" ? t("The first request arrived, and failed.") : t("The first request arrived.")}</b> <span class="t2">${row.account ? t("{model} at {account}", { model: row.model || row.model_requested, account: row.account.label }) : row.model || row.model_requested}${row.duration_ms ? html`, <${Ms} value=${row.duration_ms} />` : ""}</span></span>
    <a class="link" href=${"#/activity/" + encodeURIComponent(row.id)}>${t("See why it went there")}</a></div>`;
}

function FirstRun({ onHide }) {
  const hasAccount = shownAccounts.value.length > 0;
  const active = keys.value.filter((key) => key.status === "active");
  const first = requests.value[requests.value.length - 1];
  const made = fresh.value && active.some((key) => key.id === fresh.value.id) ? fresh.value : null;
  const state = (done, before) => (done ? "done" : before ? "now" : "later");
  const names = shownAccounts.value.slice(0, 3).map((account) => account.label).join(", ");
  return html`<section class="first" aria-label=${t("First steps")}>
    <div class="first-head"><h1>${first ? t("You are set up.") : hasAccount ? t("Almost there") : t("One key for every AI account you own")}</h1>
      <p class="t3">${first ? t("From here on this page shows what your accounts are doing.") : t("Connect what you have, take one key, use it everywhere. It takes about a minute.")}</p>
      ${onHide ? html`<${Button} kind="ghost" icon="x" label=${t("Hide these steps")} onClick=${onHide} />` : null}</div>
    <ol class="steps">
      <${Step} n="1" title=${t("Connect an account")} state=${state(hasAccount, true)}>
        ${hasAccount ? html`<p class="t3">${shownAccounts.value.length > 3 ? t("{names} and {n} more", { names, n: shownAccounts.value.length - 3 }) : names}${shownAccounts.value.every((account) => account.demo) ? html` <span class="tag demo">${t("demo")}</span> <button type="button" class="btn link" onClick=${() => connect()}>${t("Add a real one")}</button>` : null}</p>`
        : html`<p class="t2">${t("A plan you sign in to, an API key, a program or a server of this machine. Or the built-in demo, to look around.")}</p>
          <div class="flex wrapping"><${Button} kind="primary" icon="plus" onClick=${() => connect()}>${t("Connect account")}<//><${Button} icon="flask-conical" onClick=${tryDemo}>${t("Try the demo provider")}<//></div>
          <p class="note">${t("The demo is labelled as one everywhere. Nothing leaves this machine.")}</p><${Found} />`}
      <//>
      <${Step} n="2" title=${t("Create a key")} state=${state(active.length > 0, hasAccount)}>
        ${made ? html`<${ShownOnce} /><${KeyBox} value=${made.key} />` : active.length ? html`<p class="t3">${active[0].name} <span class="mono">${active[0].hint}</span></p>`
        : html`<p class="t2">${parts("Your programs show this key instead of the providers' own. It begins with {prefix}.", { prefix: html`<code>omni-</code>` })}</p>${hasAccount ? html`<div class="flex"><${Button} kind="primary" icon="key-round" onClick=${createKey}>${t("Create key")}<//></div>` : null}`}
      <//>
      <${Step} n="3" title=${t("Send the first request")} state=${state(!!first, active.length > 0)}>
        ${active.length || first ? html`${first && !made ? null : html`<${Snippets} label=${t("Ready to paste")} items=${snippets(baseUrl(), made ? made.key : "omni-…")} />`}
          <div class="flex wrapping"><${Light} row=${first} /><span class="grow" />${made ? html`<${SendOne} value=${made.key} />` : null}</div>`
        : html`<p class="t2">${t("Paste a ready snippet into a terminal, a program, or your coding agent. A light turns on here when it arrives.")}</p>`}
      <//>
    </ol></section>`;
}

// ------------------------------------------------------------------ the page
function summary(list) {
  const readyOnes = list.filter((account) => account.status === "ready").length;
  if (readyOnes === list.length) return counted(list.length, "{n} account, ready", "all {n} accounts ready");
  const cooling = list.filter((account) => account.status === "cooling").length;
  return [t("{ready} of {n} accounts ready", { ready: readyOnes, n: list.length }), cooling && t("{n} cooling", { n: cooling })].filter(Boolean).join(t(", "));
}

export function Overview() {
  const list = shownAccounts.value;
  const unknown = unread.value.includes("requests"); // Whether there are any: the database is away.
  const complete = unknown || (list.length > 0 && keys.value.length > 0 && requests.value.length > 0);
  useEffect(() => {
    if (ready.value && !unknown && !requests.value.length) sawEmpty.value = true;
  }, [ready.value]);
  useEffect(() => () => {
    if (!requests.value.length) return; // The first run is over once the page is left after the first request; so is the key's one showing.
    sawEmpty.value = false;
    fresh.value = null;
  }, []);
  if (!ready.value) return html`<div class="page"><${Notices} /><${Skeleton} rows=${8} /></div>`;
  const hide = () => {
    localStorage.setItem(HIDE, "1");
    hidden.value = true;
    sawEmpty.value = false;
  };
  const teach = complete ? sawEmpty.value && !hidden.value : !list.length && !requests.value.length ? true : !hidden.value;
  return html`<div class="page">
    ${list.length ? html`<div class="page-head"><h1>${t("Overview")}</h1><span class="sub">${summary(list)}</span>
      <div class="actions"><span class="addr slim"><code class="cut">${baseUrl()}/v1</code><${Copy} text=${baseUrl() + "/v1"} what=${t("Base URL")} /></span><${Button} icon="plus" onClick=${() => connect()}>${t("Connect account")}<//></div></div>` : null}
    <${Notices} /><${Problems} />
    ${teach ? html`<${FirstRun} onHide=${list.length ? hide : null} />` : null}
    ${list.length ? html`<${Now} />
      <section class="section"><div class="section-head"><h2>${t("Accounts")}</h2><a class="more" href="#/accounts">${list.length > MOST_ACCOUNTS ? t("All {n} accounts", { n: list.length }) : t("Manage")}</a></div><${AccountTable} list=${list.slice(0, MOST_ACCOUNTS)} /></section>` : null}
    ${requests.value.length ? html`<section class="section"><div class="section-head"><h2>${t("Latest activity")}</h2><a class="more" href="#/activity">${t("All activity")}</a></div><${RequestTable} rows=${requests.value.slice(0, 10)} /></section>` : null}
  </div>`;
}
