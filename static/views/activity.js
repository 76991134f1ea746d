// The request log: rows that answer why. Filters live in the address, older rows come by keyset, new ones never move what is under the pointer.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.mjs";
import { get, query } from "../api.js";
import { accounts, arrivals, caughtUp, keys, mergeRows, providers, requests, resync, tidyRows, unread } from "../live.js";
import { computed } from "../vendor/signals.mjs";
import { PROTOCOLS, protocolName } from "../protocols.js";
import { Button, Empty, html, Icon, oops, Skeleton } from "../ui.js";
import { replaceParams, route as current } from "../route.js";
import { counted, said, t } from "../texts.js";
import { RequestTable } from "./request_table.js";

const PAGE = 50;
const SETTLE_MS = 180;
const MOST_LIVE = 1000; // Rows that a page keeps which only follows; older ones are one press away, as always.
const MOST_HELD = 500;
const FILTERS = ["status", "provider", "model", "account", "key", "text", "protocol", "flag", "client"];
const STATUSES = [["", t("Any status")], ["ok", t("Answered")], ["failed", t("Failed")], ["open", t("In flight")], ["429", "429"], ["401", "401"], ["500", "500"], ["503", "503"]];

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

/** What there is to choose from, as text: many requests a second change nothing of it. */
const choices = computed(() => {
  const models = new Set([...accounts.value.flatMap((account) => (account.models && account.models.length ? account.models : account.discovered) || []), ...requests.value.map((row) => row.model)].filter(Boolean));
  return JSON.stringify({
    models: [...models].slice(0, 200), connected: accounts.value.map((account) => account.provider), keys: keys.value.map((key) => [key.id, key.name]),
    accounts: accounts.value.map((account) => [account.id, account.label]), providers: providers.value.map((provider) => [provider.id, said(provider.label)]),
  });
});

function Filters({ filters, set, clear }) {
  const known = JSON.parse(choices.value);
  const pick = (name, label, options) => html`<select class="input small ${filters[name] ? "on" : ""}" aria-label=${label} value=${filters[name] || ""} onChange=${(event) => set(name, event.currentTarget.value)}>
    ${options.map(([value, text]) => html`<option key=${value} value=${value} selected=${value === (filters[name] || "")}>${text}</option>`)}</select>`;
  const connected = new Set(known.connected);
  const extra = filters.status && !STATUSES.some(([value]) => value === filters.status) ? [[filters.status, filters.status]] : [];
  const formats = Object.keys(PROTOCOLS).concat(filters.protocol && !PROTOCOLS[filters.protocol] ? filters.protocol : []);
  return html`<div class="filters" role="search">
    <${SearchBox} text=${filters.text} onSettle=${(value) => set("text", value)} />
    ${pick("status", t("Status"), [...STATUSES, ...extra])}
    ${pick("protocol", t("Format"), [["", t("Any format")], ...formats.map((id) => [id, protocolName(id)])])}
    ${pick("provider", t("Provider"), [["", t("Any provider")], ...known.providers.filter(([id]) => connected.has(id) || id === filters.provider)])}
    ${pick("account", t("Account"), [["", t("Any account")], ...known.accounts])}
    ${pick("key", t("Key"), [["", t("Any key")], ...known.keys])}
    <label class="model-filter"><span class="sr">${t("Model")}</span><input class=${"input small " + (filters.model ? "on" : "")} list="models-known" placeholder=${t("Any model")} value=${filters.model || ""} onChange=${(event) => set("model", event.currentTarget.value.trim())} /></label>
    <datalist id="models-known">${known.models.map((model) => html`<option key=${model} value=${model} />`)}</datalist>
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
  const [failed, setFailed] = useState(false);
  const [again, setAgain] = useState(0);
  const [next, setNext] = useState(null);
  const [older, setOlder] = useState(false);
  const [fresh, setFresh] = useState(new Set());
  const hovered = useRef(false);

  useEffect(() => {
    const stop = new AbortController();
    get("/api/requests" + query({ ...filters, limit: PAGE }), { signal: stop.signal }).then((page) => {
      const newest = page.requests.length ? page.requests[0].id : "";
      const since = requests.value.filter((row) => row.id > newest && passes(row, filters)); // Told of while the page was under way.
      setRows(mergeRows(caughtUp(tidyRows(page.requests)), new Map(since.map((row) => [row.id, row]))));
      setHeld([]);
      setNext(page.next);
      setFailed(false);
    }).catch((error) => {
      if (error.name === "AbortError") return;
      if (!unread.value.length) oops(error); // Else the page says it already.
      setRows((list) => list || []);
      setFailed(true);
    });
    return () => stop.abort();
  }, [asked, resync.value, again]);

  useLayoutEffect(() => { // Before the next frame brings other ones.
    if (!rows) return;
    const known = new Set([...rows, ...held].map((row) => row.id));
    const matching = new Map(arrivals.value.rows.filter((row) => known.has(row.id) || passes(row, filters)).map((row) => [row.id, row]));
    if (!matching.size) return;
    const brandNew = [...matching.keys()].filter((id) => !known.has(id));
    const still = brandNew.length && (hovered.current || window.scrollY > 120 || held.length);
    const inList = new Map([...matching].filter(([id]) => !brandNew.includes(id)));
    if (still) {
      setRows(mergeRows(rows, new Map([...inList].filter(([id]) => rows.some((row) => row.id === id)))));
      setHeld(mergeRows(held, new Map([...matching].filter(([id]) => brandNew.includes(id) || held.some((row) => row.id === id)))).slice(0, MOST_HELD));
      return;
    }
    const merged = mergeRows(rows, new Map([...matching].filter(([id]) => !held.some((row) => row.id === id))));
    setRows(merged.slice(0, MOST_LIVE));
    if (merged.length > MOST_LIVE) setNext(merged[MOST_LIVE - 1].id);
    if (held.length) setHeld(held.map((row) => matching.get(row.id) || row));
    if (brandNew.length) setFresh(new Set(brandNew));
  }, [arrivals.value]);

  const release = () => {
    window.scrollTo({ top: 0 });
    if (held.length >= MOST_HELD) return setAgain(again + 1); // More came than was held: the newest page instead.
    setFresh(new Set(held.map((row) => row.id)));
    setRows(mergeRows(rows, new Map(held.map((row) => [row.id, row]))));
    setHeld([]);
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

  const search = useMemo(() => html`<${Filters} filters=${filters} set=${set} clear=${() => replaceParams({})} />`, [asked]);
  const filtered = FILTERS.some((name) => filters[name]);
  return html`<div class="page">
    <div class="page-head"><h1>${t("Activity")}</h1>${filtered ? html`<span class="sub">${t("filtered")}</span>` : null}<${Export} asked=${asked} filtered=${filtered} /></div>
    ${search}
    <div class="live-list" onMouseEnter=${() => (hovered.current = true)} onMouseLeave=${() => (hovered.current = false)}>
      ${held.length ? html`<button type="button" class="pill-new" onClick=${release}><${Icon} name="arrow-up" size=${13} />${t("{n} new", { n: held.length < MOST_HELD ? held.length : MOST_HELD + "+" })}</button>` : null}
      ${rows === null ? html`<${Skeleton} rows=${9} />` : rows.length ? html`<${RequestTable} rows=${rows} fresh=${fresh} />`
      : failed ? html`<${Empty} icon="wifi-off" title=${t("The request log cannot be read now")} action=${html`<${Button} icon="rotate-cw" onClick=${() => setAgain(again + 1)}>${t("Try again")}<//>`} />`
      : next ? html`<${Empty} icon="search" title=${t("Nothing yet among the newest requests")}>${t("Older ones have not been looked through.")}<//>`
      : filtered ? html`<${Empty} icon="search" title=${t("Nothing matches these filters")} action=${html`<${Button} onClick=${() => replaceParams({})}>${t("Clear filters")}<//>`}>${t("Requests exist or not: the filters hide them all.")}<//>`
      : html`<${Empty} icon="activity" title=${t("No request yet")} action=${html`<a class="btn" href="#/keys"><${Icon} name="key-round" /><span>${t("Keys and snippets")}</span></a>`}>${t("The first request shows up here the moment it arrives.")}<//>`}
    </div>
    ${rows && (rows.length || next) ? html`<div class="list-foot">${next ? html`<${Button} busy=${older} onClick=${more}>${t("Load older")}<//>` : html`<span class="t4 sm">${counted(rows.length, "{n} request: that is all of them.", "{n} requests: that is all of them.")}</span>`}</div>` : null}
  </div>`;
}
