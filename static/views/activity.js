// The request log: rows that answer why. Filters live in the address, older rows come by keyset, new ones never move what is under the pointer.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { providerName } from "../actions.js";
import { get, query } from "../api.js";
import { absolute, clock, exact, num } from "../format.js";
import { accounts, arrivals, keys, mergeRows, providers, requests, resync, tidyRows } from "../live.js";
import { PROTOCOLS, protocolKind, protocolName } from "../protocols.js";
import { Ago, Button, Cost, Empty, html, Icon, Ms, oops, requestWords, Skeleton, Status } from "../ui.js";
import { replaceParams, route as current } from "../route.js";
import { counted, said, t } from "../texts.js";

const PAGE = 50;
const SETTLE_MS = 180;
const FILTERS = ["status", "provider", "model", "account", "key", "text", "protocol", "flag", "client"];
const STATUSES = [["", t("Any status")], ["ok", t("Answered")], ["failed", t("Failed")], ["open", t("In flight")], ["429", "429"], ["401", "401"], ["500", "500"], ["503", "503"]];

export const prompt = (usage) => (usage ? (usage.input || 0) + (usage.cache_read || 0) + (usage.cache_write || 0) : 0);
export const measured = (row) => row.usage && row.usage.source && row.usage.source !== "none" && (row.usage.input !== null || row.usage.output !== null);

/** Answered by a provider that says nothing of tokens: sounds, most pictures, verdicts. Not the same as none. */
export const silent = (row) => row.state !== "open" && row.outcome === "ok" && !measured(row);

/** Failed before anything was counted: there is no cost to know. */
export const unspent = (row) => row.outcome !== "ok" && !measured(row) && (!row.cost || row.cost.usd === null);

/** How the counts are known, in words; rows that are not the provider's own count carry a sign. */
export const SOURCES = {
  reported: t("reported by the provider"),
  counted: t("counted by omni-connector from the answer"),
  estimated: t("estimated by omni-connector, not reported by the provider"),
  none: t("not reported"),
};

/** One word for each, as a sign. */
export const WAYS = { reported: t("reported"), counted: t("counted"), estimated: t("estimated") };

function Tokens({ row }) {
  if (!measured(row)) return html`<span class="t4" title=${silent(row) ? t("The provider did not report tokens.") : null}>–</span>`;
  const u = row.usage;
  const title = `${t("{read} in ({cached} from cache), {written} out", { read: exact(prompt(u)), cached: exact(u.cache_read || 0), written: exact(u.output || 0) })} · ${SOURCES[u.source] || u.source}`;
  const unsure = u.source === "estimated" || u.source === "counted";
  return html`<span title=${title}>${unsure ? html`<span class="t4" aria-hidden="true">≈</span><span class="sr">${WAYS[u.source]} </span>` : null}${num(prompt(u))} <span class="t4">→</span> ${num(u.output || 0)}${u.cache_read ? html`<span class="sr">${t(", {n} from cache", { n: num(u.cache_read) })}</span>` : null}</span>`;
}

function Attempts({ row }) {
  const tries = (row.attempts || []).length;
  const skipped = (row.skipped || []).length;
  const title = [...(row.attempts || []).map((a) => `${a.account || a.provider}: ${a.kind ? a.message || a.kind : a.status || "ok"}`), ...(row.skipped || []).map((s) => t("{name} skipped: {reason}", { name: s.account || s.provider, reason: s.reason }))].join("\n");
  return html`<span title=${title || null}>${tries > 1 ? html`<span class="strong">${tries}</span>` : tries || html`<span class="t4">0</span>`}${skipped ? html`<span class="t4"> +${skipped}</span>` : null}</span>`;
}

/** Asked → served. The arrow only where the two differ: "openai/high/gpt-5.5" says already who served. */
export function Asked({ row }) {
  const served = row.model && !`/${row.model_requested}`.replaceAll(":", "/").endsWith("/" + row.model.replaceAll(":", "/")) ? row.model : null;
  const kind = protocolKind(row.protocol);
  return html`<span class="asked"><span class="cut">${row.model_requested || html`<span class="t4">${t("default")}</span>`}</span>${served ? html`<span class="served cut"><span class="t4">→</span> ${served}</span>` : null}${kind ? html`<span class="tag kind p2">${kind}</span>` : null}</span>`;
}

export function RequestTable({ rows, fresh }) {
  return html`<div class="sheet"><table class="grid requests">
    <thead><tr><th>${t("Status")}</th><th class="p2">${t("Time")}</th><th>${t("Model")}</th><th class="p2">${t("Account")}</th><th class="p4a">${t("Client")}</th><th class="num p4" title=${t("Accounts tried, and candidates skipped")}>${t("Tries")}</th><th class="num p3" title=${t("Time to the first token")}>${t("First")}</th><th class="num">${t("Took")}</th><th class="num p3">${t("Tokens")}</th><th class="num p2">${t("Cost")}</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.id} class=${(row.state === "open" ? "is-open" : "") + (fresh && fresh.has(row.id) ? " is-new" : "")}>
      <td class="c-status"><span class="flex"><${Status} words=${requestWords(row)} title=${row.error ? row.error.message : row.route} />${row.flag ? html`<span class="flag p3" title=${row.error ? row.error.message : null}>${row.flag}</span>` : null}</span></td>
      <td class="p2 t2 nowrap" title=${absolute(row.at)}>${Date.now() - row.at < 86400000 ? clock(row.at) : html`<${Ago} at=${row.at} suffix=" ago" />`}</td>
      <td class="c-model"><a class="row-link strong" data-row href=${"#/activity/" + encodeURIComponent(row.id)}><${Asked} row=${row} /></a><span class="under sm t3 cut">${[row.outcome === "ok" ? "" : requestWords(row)[0], protocolKind(row.protocol), row.account && row.account.label, clock(row.at)].filter(Boolean).join(" · ")}</span></td>
      <td class="c-account p2">${row.account ? row.account.label : html`<span class="t4">${t("none")}</span>`}${row.provider ? html`<span class="t4 p5"> ${said(providerName(row.provider))}</span>` : null}</td>
      <td class="c-client p4a t2"><span>${[row.key && row.key.name, row.client].filter(Boolean).join(" · ") || "–"}</span></td>
      <td class="num p4 t2"><${Attempts} row=${row} /></td>
      <td class="num p3 t2"><${Ms} value=${row.first_token_ms} /></td>
      <td class="num"><${Ms} value=${row.duration_ms} /></td>
      <td class="num p3 t2"><${Tokens} row=${row} /></td>
      <td class="num p2">${row.state === "open" || unspent(row) ? html`<span class="t4">–</span>` : html`<${Cost} cost=${row.cost} />`}</td>
    </tr>`)}</tbody></table></div>`;
}

/** Does a live row belong under the filters? The server decides for fetched rows; this follows the same rules. */
export function passes(row, f) {
  if (f.status === "ok" && row.outcome !== "ok") return false;
  if (f.status === "failed" && (row.state === "open" || row.outcome === "ok")) return false;
  if (f.status === "open" && row.state !== "open") return false;
  if (/^\d+$/.test(f.status || "") && String(row.http_status) !== f.status) return false;
  if (f.provider && row.provider !== f.provider) return false;
  if (f.model && row.model !== f.model && row.model_requested !== f.model) return false;
  if (f.account && !(row.account && (row.account.id === f.account || row.account.label === f.account))) return false;
  if (f.key && !(row.key && (row.key.id === f.key || row.key.name === f.key))) return false;
  if (f.protocol && row.protocol !== f.protocol) return false;
  if (f.flag && row.flag !== f.flag) return false;
  if (f.client && row.client !== f.client) return false;
  if (!f.text) return true;
  const hay = [row.client, row.model_requested, row.model, row.provider, row.account && row.account.label, row.key && row.key.name, row.flag, row.error && row.error.message];
  return hay.filter(Boolean).join("\n").toLowerCase().includes(f.text.toLowerCase());
}

/** Typed text is kept here until it settles in the address, so that live rows arriving meanwhile cannot take letters away. */
function SearchBox({ text, onSettle }) {
  const [typed, setTyped] = useState(text);
  const settled = useRef(text);
  const timer = useRef(0);
  useEffect(() => {
    if (text !== settled.current) setTyped(text);
    settled.current = text;
  }, [text]);
  const type = (event) => {
    const value = event.currentTarget.value;
    setTyped(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => { settled.current = value; onSettle(value); }, SETTLE_MS);
  };
  return html`<label class="search"><${Icon} name="search" size=${14} /><span class="sr">${t("Search in activity")}</span><input type="search" class="input small" data-filter placeholder=${t("Search")} value=${typed} onInput=${type} /><kbd>/</kbd></label>`;
}

function Filters({ filters, set, clear }) {
  const pick = (name, label, options) => html`<select class="input small ${filters[name] ? "on" : ""}" aria-label=${label} value=${filters[name] || ""} onChange=${(event) => set(name, event.currentTarget.value)}>
    ${options.map(([value, text]) => html`<option key=${value} value=${value} selected=${value === (filters[name] || "")}>${text}</option>`)}</select>`;
  const connected = new Set(accounts.value.map((account) => account.provider));
  const models = new Set([...accounts.value.flatMap((account) => (account.models && account.models.length ? account.models : account.discovered) || []), ...requests.value.map((row) => row.model)].filter(Boolean));
  const extra = filters.status && !STATUSES.some(([value]) => value === filters.status) ? [[filters.status, filters.status]] : [];
  const formats = Object.keys(PROTOCOLS).concat(filters.protocol && !PROTOCOLS[filters.protocol] ? filters.protocol : []);
  return html`<div class="filters" role="search">
    <${SearchBox} text=${filters.text} onSettle=${(value) => set("text", value)} />
    ${pick("status", t("Status"), [...STATUSES, ...extra])}
    ${pick("protocol", t("Format"), [["", t("Any format")], ...formats.map((id) => [id, protocolName(id)])])}
    ${pick("provider", t("Provider"), [["", t("Any provider")], ...providers.value.filter((provider) => connected.has(provider.id) || provider.id === filters.provider).map((provider) => [provider.id, said(provider.label)])])}
    ${pick("account", t("Account"), [["", t("Any account")], ...accounts.value.map((account) => [account.id, account.label])])}
    ${pick("key", t("Key"), [["", t("Any key")], ...keys.value.map((key) => [key.id, key.name])])}
    <label class="model-filter"><span class="sr">${t("Model")}</span><input class=${"input small " + (filters.model ? "on" : "")} list="models-known" placeholder=${t("Any model")} value=${filters.model || ""} onChange=${(event) => set("model", event.currentTarget.value.trim())} /></label>
    <datalist id="models-known">${[...models].slice(0, 200).map((model) => html`<option key=${model} value=${model} />`)}</datalist>
    ${FILTERS.some((name) => filters[name]) ? html`<${Button} small kind="ghost" icon="x" onClick=${clear}>${t("Clear")}<//>` : null}</div>`;
}

/** All rows under the filters as a file, read by the browser piece by piece. */
function Export({ asked, filtered }) {
  const file = (form) => "/api/requests" + (asked ? asked + "&" : "?") + "format=" + form;
  return html`<div class="actions"><a class="btn small" href=${file("csv")} download title=${filtered ? t("Save these requests for a spreadsheet") : t("Save all requests for a spreadsheet")}><span>${t("Export CSV")}</span></a>
    <a class="btn small" href=${file("jsonl")} download title=${filtered ? t("Save these requests as JSON, one a line") : t("Save all requests as JSON, one a line")}><span>${t("Export JSON")}</span></a></div>`;
}

export function Activity({ route }) {
  const filters = Object.fromEntries(FILTERS.map((name) => [name, route.params[name] || ""]));
  const asked = query(filters);
  const [rows, setRows] = useState(null);
  const [held, setHeld] = useState([]);
  const [next, setNext] = useState(null);
  const [older, setOlder] = useState(false);
  const [fresh, setFresh] = useState(new Set());
  const hovered = useRef(false);

  useEffect(() => {
    const stop = new AbortController();
    get("/api/requests" + query({ ...filters, limit: PAGE }), { signal: stop.signal }).then((page) => {
      setRows(tidyRows(page.requests));
      setHeld([]);
      setNext(page.next);
    }).catch((error) => { if (error.name !== "AbortError") { oops(error); setRows((list) => list || []); } });
    return () => stop.abort();
  }, [asked, resync.value]);

  useEffect(() => {
    if (!rows) return;
    const known = new Set([...rows, ...held].map((row) => row.id));
    const matching = new Map(arrivals.value.rows.filter((row) => known.has(row.id) || passes(row, filters)).map((row) => [row.id, row]));
    if (!matching.size) return;
    const brandNew = [...matching.keys()].filter((id) => !known.has(id));
    const still = brandNew.length && (hovered.current || window.scrollY > 120 || held.length);
    const inList = new Map([...matching].filter(([id]) => !brandNew.includes(id)));
    if (still) {
      setRows(mergeRows(rows, new Map([...inList].filter(([id]) => rows.some((row) => row.id === id)))));
      setHeld(mergeRows(held, new Map([...matching].filter(([id]) => brandNew.includes(id) || held.some((row) => row.id === id)))));
      return;
    }
    setRows(mergeRows(rows, new Map([...matching].filter(([id]) => !held.some((row) => row.id === id)))));
    if (held.length) setHeld(held.map((row) => matching.get(row.id) || row));
    if (brandNew.length) setFresh(new Set(brandNew));
  }, [arrivals.value]);

  const release = () => {
    setFresh(new Set(held.map((row) => row.id)));
    setRows(mergeRows(rows, new Map(held.map((row) => [row.id, row]))));
    setHeld([]);
    window.scrollTo({ top: 0 });
  };
  const more = async () => {
    setOlder(true);
    try {
      const page = await get("/api/requests" + query({ ...filters, limit: PAGE, before: next }));
      setRows((list) => [...list, ...tidyRows(page.requests).filter((row) => !list.some((other) => other.id === row.id))]);
      setNext(page.next);
    } catch (error) {
      oops(error);
    }
    setOlder(false);
  };
  const set = (name, value) => replaceParams({ ...current.value.params, [name]: value });

  const filtered = FILTERS.some((name) => filters[name]);
  return html`<div class="page">
    <div class="page-head"><h1>${t("Activity")}</h1>${filtered ? html`<span class="sub">${t("filtered")}</span>` : null}<${Export} asked=${asked} filtered=${filtered} /></div>
    <${Filters} filters=${filters} set=${set} clear=${() => replaceParams({})} />
    <div class="live-list" onMouseEnter=${() => (hovered.current = true)} onMouseLeave=${() => (hovered.current = false)}>
      ${held.length ? html`<button type="button" class="pill-new" onClick=${release}><${Icon} name="arrow-up" size=${13} />${t("{n} new", { n: held.length })}</button>` : null}
      ${rows === null ? html`<${Skeleton} rows=${9} />` : rows.length ? html`<${RequestTable} rows=${rows} fresh=${fresh} />`
      : next ? html`<${Empty} icon="search" title=${t("Nothing yet among the newest requests")}>${t("Older ones have not been looked through.")}<//>`
      : filtered ? html`<${Empty} icon="search" title=${t("Nothing matches these filters")} action=${html`<${Button} onClick=${() => replaceParams({})}>${t("Clear filters")}<//>`}>${t("Requests exist or not: the filters hide them all.")}<//>`
      : html`<${Empty} icon="activity" title=${t("No request yet")} action=${html`<a class="btn" href="#/keys"><${Icon} name="key-round" /><span>${t("Keys and snippets")}</span></a>`}>${t("The first request shows up here the moment it arrives.")}<//>`}
    </div>
    ${rows && (rows.length || next) ? html`<div class="list-foot">${next ? html`<${Button} busy=${older} onClick=${more}>${t("Load older")}<//>` : html`<span class="t4 sm">${counted(rows.length, "{n} request: that is all of them.", "{n} requests: that is all of them.")}</span>`}</div>` : null}
  </div>`;
}
