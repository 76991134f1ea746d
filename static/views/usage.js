// What was spent and used: three figures, bars over time, sums by whoever you ask for, and the providers' own figures beside ours.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { providerName } from "../actions.js";
import { get, query } from "../api.js";
import { exact, num, plural, usd } from "../format.js";
import { arrivals, resync } from "../live.js";
import { Segments, style } from "../pieces.js";
import { replaceParams } from "../route.js";
import { Button, Empty, html, Icon, Num, Skeleton } from "../ui.js";
import { Reconciled } from "./reconciled.js";

await style("/static/css/late.css");

/** The drawing of charts is large: the figures do not wait for it. */
const charts = () => Promise.all([import("../chart.js"), style("/static/vendor/uplot.css")]).then(([file]) => file.Chart);

const HOUR = 3_600_000;
const HOURS_UP_TO = 49 * HOUR; // Longer spans are shown by the day.
const REFRESH_MS = 4000;
const SHOWN = 12;
const PERIODS = [["24h", "24 h"], ["7d", "7 d"], ["30d", "30 d"], ["custom", "Custom"]];
const MEASURES = [["spend", "Spend"], ["tokens", "Tokens"], ["requests", "Requests"]];
const GROUPS = [["account", "Account"], ["model", "Model"], ["provider", "Provider"], ["key", "Key"], ["client", "Client"]];
const NOBODY = { account: "not served", model: "no model", provider: "not served", key: "no key", client: "not told" };
const money = { key: "cost_usd", worth: "worth_usd" };

const dollars = (row, name = money.key) => Number(row[name] || 0);
const read = (row) => row.input + row.cache_read + row.cache_write;
const MEASURED = {
  spend: (row) => dollars(row) + dollars(row, money.worth),
  tokens: (row) => read(row) + row.output,
  requests: (row) => row.requests,
};
/** Measure → what is stacked: name, colour, value of a row. */
const STACKS = {
  spend: [["paid", "--accent", (row) => dollars(row)], ["worth, by subscription", "--bar-quiet", (row) => dollars(row, money.worth)]],
  tokens: [["from cache", "--bar-quiet", (row) => row.cache_read], ["read", "--accent", (row) => row.input + row.cache_write], ["written", "--bar-strong", (row) => row.output]],
  requests: [["answered", "--accent", (row) => row.requests - row.failed], ["failed", "--bad-bar", (row) => row.failed]],
};
const figure = { spend: (value) => usd(value), tokens: num, requests: num };

// ------------------------------------------------------------------ the span
const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const dayIn = (ms, zone) => new Date(ms).toLocaleDateString("sv-SE", { timeZone: zone });
const nextDay = (day) => new Date(Date.parse(day + "T00:00Z") + 24 * HOUR).toISOString().slice(0, 10);
const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text || "");

function midnight(daysBack) {
  const day = new Date();
  day.setHours(0, 0, 0, 0);
  day.setDate(day.getDate() - daysBack);
  return day.getTime();
}

/** {period, from, to: what the server is asked, live}; days are whole ones of the browser's zone. Null: the dates make no span. */
function spanOf({ period, from, to }) {
  if (period === "custom") {
    const valid = isDay(from) && isDay(to) && from <= to;
    return { period, live: valid && nextDay(to) > dayIn(Date.now(), browserZone()), ask: valid ? { from, to: nextDay(to) } : null };
  }
  if (period === "24h") return { period, live: true, ask: { from: Math.floor(Date.now() / HOUR) * HOUR - 23 * HOUR } };
  const days = period === "7d" ? 7 : 30;
  return { period: days === 7 ? "7d" : "30d", live: true, ask: { from: midnight(days - 1) } };
}

/** The places of the chart, those where nothing was asked too: [{name as the server has it, tick, title}]. */
function places({ from, to, zone }, byHour) {
  const out = [];
  if (byHour) {
    for (let at = Math.floor(from / HOUR) * HOUR; at < to; at += HOUR) {
      const date = new Date(at);
      const hour = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
      out.push({ name: date.toISOString().slice(0, 13) + ":00Z", tick: hour, title: `${date.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" })}, ${hour}` });
    }
    return out;
  }
  for (let day = dayIn(from, zone), last = dayIn(to - 1, zone); day <= last; day = nextDay(day)) {
    const date = new Date(day + "T12:00Z");
    const words = (more) => date.toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC", ...more });
    out.push({ name: day, tick: words(), title: words({ weekday: "short", year: "numeric" }) });
  }
  return out;
}

// ------------------------------------------------------------------ what the server says
/** {group, sums, times, byHour} of the span, read again when requests are settled and when the page comes back. */
function useUsage(span, group) {
  const [told, setTold] = useState(null);
  const [failed, setFailed] = useState("");
  const timer = useRef(0);
  const asked = useRef(0);
  const key = JSON.stringify([span.ask, group]);
  const load = async () => {
    const turn = ++asked.current;
    const zone = browserZone();
    try {
      const ask = (zone) => get("/api/usage" + query({ group, ...span.ask, zone }));
      // A browser may know a zone that the server's list does not: then days are those of UTC, and it is said.
      const sums = await ask(zone).catch((error) => (error.param === "zone" ? ask("UTC") : Promise.reject(error)));
      const byHour = sums.to - sums.from < HOURS_UP_TO;
      const times = await get("/api/usage" + query({ group: byHour ? "hour" : "day", from: sums.from, to: sums.to, zone: sums.zone }));
      if (turn !== asked.current) return;
      setTold({ group, sums, times, byHour });
      setFailed("");
    } catch (error) {
      if (turn === asked.current) setFailed(error.message);
    }
  };
  useEffect(() => {
    if (span.ask) load();
    return () => clearTimeout(timer.current);
  }, [key, resync.value]);
  useEffect(() => {
    if (!span.live || !arrivals.value.rows.some((row) => row.state === "settled") || timer.current) return;
    timer.current = setTimeout(() => {
      timer.current = 0;
      if (!document.hidden) load();
    }, REFRESH_MS);
  }, [arrivals.value]);
  return { told, failed, again: load };
}

// ------------------------------------------------------------------ parts
function Figures({ total }) {
  const tokens = read(total);
  const stat = (label, value, note, title) => html`<div class="stat" title=${title || null}><dt>${label}</dt><dd>${value}</dd><dd class="stat-note">${note || "\u00a0"}</dd></div>`;
  const unpriced = total.unpriced ? html`<a class="warn" href="#/prices">${num(total.unpriced)} not priced</a>` : total.requests ? "every price is known" : "";
  return html`<dl class="stats usage-stats">
    ${stat("Spend", usd(total.cost_usd), unpriced, total.cost_usd ? "$" + total.cost_usd : "No price is known")}
    ${stat("Worth", usd(total.worth_usd || "0"), "by subscription", "What subscriptions paid for would have cost by the token, as far as that is known")}
    ${stat("Requests", html`<${Num} value=${total.requests} />`, total.failed ? html`<span class="bad">${num(total.failed)} failed</span>` : total.requests ? "none failed" : "")}
    ${stat("Tokens in", html`<${Num} value=${tokens} />`, total.cache_read ? `${Math.round((100 * total.cache_read) / Math.max(1, tokens))}% from cache` : "")}
    ${stat("Tokens out", html`<${Num} value=${total.output} />`, total.reasoning ? `${num(total.reasoning)} thinking` : "")}</dl>`;
}

function OverTime({ told, measure }) {
  const [Chart, setChart] = useState(null);
  const [missing, setMissing] = useState(false);
  useEffect(() => {
    charts().then((drawn) => setChart(() => drawn), () => setMissing(true));
  }, []);
  const { times, byHour, sums } = told;
  const known = new Map(times.rows.map((row) => [row.name, row]));
  const bars = places({ from: sums.from, to: sums.to, zone: sums.zone }, byHour);
  const series = STACKS[measure].map(([name, colour, value]) => ({ name, colour, values: bars.map((bar) => (known.has(bar.name) ? value(known.get(bar.name)) : 0)) }))
    .filter((one, i) => i === 0 || one.values.some(Boolean));
  const most = bars.reduce((best, bar) => (known.has(bar.name) && MEASURED[measure](known.get(bar.name)) > (best ? MEASURED[measure](known.get(best.name)) : 0) ? bar : best), null);
  const words = Object.fromEntries(MEASURES)[measure];
  const label = `${words} by the ${byHour ? "hour" : "day"}, ${plural(bars.length, "bar")}. ${most ? `Most: ${figure[measure](MEASURED[measure](known.get(most.name)))}, ${most.title}.` : "None."} Arrow keys read each one.`;
  if (missing) return html`<p class="t3 sm" role="alert">The chart could not be loaded. The figures are in the table.</p>`;
  if (!Chart) return html`<div class="chart-box skeleton" aria-hidden="true"><i /></div>`;
  return html`<${Chart} label=${label} series=${series} ticks=${bars.map((bar) => bar.tick)} titles=${bars.map((bar) => bar.title)} format=${figure[measure]} />`;
}

/** Where the rows of a group stand in the log. */
function linkOf(group, row) {
  const value = group === "account" || group === "key" ? row.id || row.name : row.name;
  return value ? `#/activity${query({ [group]: value })}` : null;
}

function Name({ group, row }) {
  const text = group === "provider" && row.name ? providerName(row.name) : row.name;
  const mono = group === "model" ? " mono" : "";
  const href = linkOf(group, row);
  if (!href) return html`<span class="t3">${NOBODY[group]}</span>`;
  return html`<a class=${"row-link cut strong" + mono} data-row href=${href} title=${`${text}: its requests`}>${text}</a>`;
}

function Paid({ row }) {
  const more = row.unpriced ? html`<span class="unpriced warn" title=${`${plural(row.unpriced, "request")} without a known price: not counted, and not free`}>+ ${num(row.unpriced)} not priced</span>` : null;
  if (row.cost_usd === null) return html`<span class="t4" title="No price is known. It is not counted as free.">unknown</span>`;
  return html`<span class="stack none"><span title=${"$" + row.cost_usd}>${usd(row.cost_usd)}</span>${more}</span>`;
}

function Sums({ told, measure }) {
  const [all, setAll] = useState(false);
  const { group, sums } = told;
  const of = MEASURED[measure];
  const rows = [...sums.rows].sort((a, b) => of(b) - of(a) || b.requests - a.requests);
  const most = Math.max(...rows.map(of), 0);
  const shown = all ? rows : rows.slice(0, SHOWN);
  const title = GROUPS.find(([name]) => name === group)[1];
  return html`<div class="sheet"><table class="grid usage"><thead><tr><th scope="col">${title}</th><th scope="col" class="p3 c-share"><span class="sr">Share of ${measure}</span></th><th scope="col" class="num">Requests</th><th scope="col" class="num p4">Failed</th><th scope="col" class="num p2">In</th><th scope="col" class="num p4">From cache</th><th scope="col" class="num p2">Out</th><th scope="col" class="num">Cost</th><th scope="col" class="num p3" title="What a subscription paid for would have cost by the token">Worth</th></tr></thead>
    <tbody>${shown.map((row) => html`<tr key=${row.id || row.name}>
      <td class="c-name"><${Name} group=${group} row=${row} /></td>
      <td class="p3 c-share" aria-hidden="true"><span class="share"><i style=${{ width: most ? `${Math.max(of(row) ? 1.5 : 0, (100 * of(row)) / most)}%` : "0%" }} /></span></td>
      <td class="num"><${Num} value=${row.requests} /></td><td class="num p4">${row.failed ? html`<span class="bad">${num(row.failed)}</span>` : html`<span class="t4">0</span>`}</td>
      <td class="num p2"><${Num} value=${read(row)} /></td><td class="num p4 t2"><${Num} value=${row.cache_read} /></td><td class="num p2"><${Num} value=${row.output} /></td>
      <td class="num"><${Paid} row=${row} /></td><td class="num p3 t2">${dollars(row, money.worth) ? html`<span title=${"$" + row.worth_usd}>${usd(row.worth_usd)}</span>` : html`<span class="t4">–</span>`}</td></tr>`)}</tbody></table></div>
    ${rows.length > shown.length ? html`<div class="list-foot"><${Button} onClick=${() => setAll(true)}>Show all ${exact(rows.length)}<//></div>` : null}`;
}

function Dates({ params, set }) {
  const field = (name, label, min, max) => html`<label class="inline">${label}<input class="input small" type="date" name=${name} min=${min || null} max=${max} value=${params[name] || ""} onChange=${(event) => set({ [name]: event.currentTarget.value })} /></label>`;
  const today = dayIn(Date.now(), browserZone());
  return html`<div class="filters" role="group" aria-label="Days">${field("from", "From", "", params.to || today)}${field("to", "to", params.from, today)}</div>`;
}

const said = (at, zone) => new Date(at).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: zone });

export function Usage({ route }) {
  const { params } = route;
  const span = spanOf(params);
  const group = GROUPS.some(([name]) => name === params.by) ? params.by : "account";
  const measure = MEASURED[params.show] ? params.show : "spend";
  const { told, failed, again } = useUsage(span, group);
  const set = (more) => replaceParams({ ...params, ...more });
  const setPeriod = (period) => {
    const today = dayIn(Date.now(), browserZone());
    set(period === "custom" ? { period, from: params.from || dayIn(midnight(6), browserZone()), to: params.to || today } : { period, from: "", to: "" });
  };
  const file = told && query({ group, from: told.sums.from, to: told.sums.to, zone: told.sums.zone, format: "csv" });
  const empty = told && !told.sums.total.requests;
  return html`<div class="page">
    <div class="page-head"><h1>Usage</h1>${told ? html`<span class="sub" title=${`Days are those of ${told.sums.zone}`}>since ${said(told.sums.from, told.sums.zone)}${span.live ? "" : ` until ${said(told.sums.to, told.sums.zone)}`} · ${told.sums.zone}</span>` : null}
      <div class="actions wrapping"><${Segments} label="Period" value=${span.period} options=${PERIODS} onChange=${setPeriod} />${file ? html`<a class="btn" href=${"/api/usage" + file} download><${Icon} name="download" />CSV</a>` : null}</div></div>
    ${span.period === "custom" ? html`<${Dates} params=${params} set=${set} />` : null}
    ${failed ? html`<div class="strip bad" role="alert"><div class="strip-text"><span class="strong">Usage could not be read</span><span class="t2 wrap">${failed}</span></div><${Button} small onClick=${again}>Try again<//></div>` : null}
    ${!span.ask ? html`<${Empty} icon="clock" title="Choose two days">The first must not lie behind the second.<//>`
    : !told ? (failed ? null : html`<${Skeleton} rows=${9} />`)
    : html`<${Figures} total=${told.sums.total} />
      ${empty ? html`<${Empty} icon="chart-column" title="Nothing was asked in this time" action=${html`<a class="btn" href="#/playground">Try a model</a>`}>As soon as a program asks, it is added up here.<//>` : html`
      <section class="section" aria-label="Over time"><div class="section-head between"><h2>Over time</h2><${Segments} label="What is drawn" value=${measure} options=${MEASURES} onChange=${(show) => set({ show })} /></div>
        <div class="sheet pad"><${OverTime} told=${told} measure=${measure} /></div></section>
      <section class="section" aria-label="Who used it"><div class="section-head between"><h2>Who used it</h2><${Segments} label="Added up by" value=${group} options=${GROUPS} onChange=${(by) => set({ by })} /></div>
        <${Sums} key=${told.group} told=${told} measure=${measure} /></section>`}
      <${Reconciled} />`}
  </div>`;
}
