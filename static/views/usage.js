// What was spent and used: three figures, bars over time, sums by whoever you ask for, and the providers' own figures beside ours.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { providerName } from "../actions.js";
import { get, query } from "../api.js";
import { exact, num, usd } from "../format.js";
import { locale } from "../language.js";
import { arrivals, resync } from "../live.js";
import { Segments, style } from "../pieces.js";
import { replaceParams } from "../route.js";
import { counted, t, within } from "../texts.js";
import { Button, Empty, html, Icon, Num, Skeleton } from "../ui.js";
import { Reconciled } from "./reconciled.js";

await style("/static/css/late.css");

/** The drawing of charts is large: the figures do not wait for it. */
const charts = () => Promise.all([import("../chart.js"), style("/static/vendor/uplot.css")]).then(([file]) => file.Chart);

const HOUR = 3_600_000;
const HOURS_UP_TO = 49 * HOUR; // Longer spans are shown by the day.
const REFRESH_MS = 4000;
const SHOWN = 12;
const LARGEST = 7; // Groups that are drawn one by one; there are as many colours.
const PERIODS = [["24h", "24 h"], ["7d", "7 d"], ["30d", "30 d"], ["custom", t("Custom")]];
const MEASURES = [["spend", t("Spend")], ["tokens", t("Tokens")], ["requests", t("Requests")]];
const GROUPS = [["account", t("Account")], ["model", t("Model")], ["provider", t("Provider")], ["key", t("Key")], ["client", t("Client")]];
const NOBODY = { account: t("not served"), model: t("no model"), provider: t("not served"), key: t("no key"), client: t("not told") };
const money = { key: "cost_usd", worth: "worth_usd" };
const ENGLISH = "en-GB"; // Days before months, and hours up to 24.

const dollars = (row, name = money.key) => Number(row[name] || 0);
const read = (row) => row.input + row.cache_read + row.cache_write;
const MEASURED = {
  spend: (row) => dollars(row) + dollars(row, money.worth),
  tokens: (row) => read(row) + row.output,
  requests: (row) => row.requests,
};
/** Measure → the kinds that are stacked: name, colour, value of a row. */
const STACKS = {
  spend: [[t("paid"), "--accent", (row) => dollars(row)], [t("worth, by subscription"), "--bar-quiet", (row) => dollars(row, money.worth)]],
  tokens: [[t("from cache"), "--bar-quiet", (row) => row.cache_read], [t("read"), "--accent", (row) => row.input + row.cache_write], [t("written"), "--bar-strong", (row) => row.output]],
  requests: [[t("answered"), "--accent", (row) => row.requests - row.failed], [t("failed"), "--bad-bar", (row) => row.failed]],
};
/** The same of a series, whose lists hold a figure for each bar. */
const LISTED = {
  spend: (series, i) => Number(series.cost_usd[i]) + Number(series.worth_usd[i]),
  tokens: (series, i) => series.tokens[i],
  requests: (series, i) => series.requests[i],
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

/** {period, live, byHour, ask: what the server is asked}; days are whole ones of the browser's zone. `ask` null: the dates make no span. */
function spanOf({ period, from, to }) {
  if (period === "custom") {
    if (!isDay(from) || !isDay(to) || from > to) return { period, live: false, byHour: false, ask: null };
    const until = nextDay(to);
    return { period, live: until > dayIn(Date.now(), browserZone()), byHour: Date.parse(until) - Date.parse(from) < HOURS_UP_TO, ask: { from, to: until } };
  }
  if (period === "24h") return { period, live: true, byHour: true, ask: { from: Math.floor(Date.now() / HOUR) * HOUR - 23 * HOUR } };
  const days = period === "7d" ? 7 : 30;
  return { period: days === 7 ? "7d" : "30d", live: true, byHour: false, ask: { from: midnight(days - 1) } };
}

/** A bar by its name, "2026-03-01" or "2026-03-01T10:00Z": {tick, title}. */
function place(name) {
  const byHour = name.includes("T");
  const date = new Date(byHour ? name : name + "T12:00Z");
  const words = (more) => date.toLocaleDateString(locale || ENGLISH, { day: "numeric", month: "short", ...(byHour ? {} : { timeZone: "UTC" }), ...more });
  if (!byHour) return { tick: words(), title: words({ weekday: "short", year: "numeric" }) };
  const hour = date.toLocaleTimeString(locale || ENGLISH, { hour: "2-digit", minute: "2-digit" });
  return { tick: hour, title: `${words({ weekday: "short" })}, ${hour}` };
}

// ------------------------------------------------------------------ what the server says
/** {group, sums, byHour} of the span, read again when requests are settled and when the page comes back. */
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
      const ask = (zone) => get("/api/usage" + query({ group, bucket: span.byHour ? "hour" : "day", ...span.ask, zone }));
      // A browser may know a zone that the server's list does not: then days are those of UTC, and it is said.
      const sums = await ask(zone).catch((error) => (error.param === "zone" ? ask("UTC") : Promise.reject(error)));
      if (turn !== asked.current) return;
      setTold({ group, sums, byHour: span.byHour });
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
  const unpriced = total.unpriced ? html`<a class="warn" href="#/prices">${t("{n} not priced", { n: num(total.unpriced) })}</a>` : total.requests ? t("every price is known") : "";
  return html`<dl class="stats usage-stats">
    ${stat(t("Spend"), usd(total.cost_usd), unpriced, total.cost_usd ? "$" + total.cost_usd : t("No price is known"))}
    ${stat(t("Worth"), usd(total.worth_usd || "0"), t("by subscription"), t("What subscriptions paid for would have cost by the token, as far as that is known"))}
    ${stat(t("Requests"), html`<${Num} value=${total.requests} />`, total.failed ? html`<span class="bad">${t("{n} failed", { n: num(total.failed) })}</span>` : total.requests ? t("none failed") : "")}
    ${stat(t("Tokens in"), html`<${Num} value=${tokens} />`, total.cache_read ? t("{n}% from cache", { n: Math.round((100 * total.cache_read) / Math.max(1, tokens)) }) : "")}
    ${stat(t("Tokens out"), html`<${Num} value=${total.output} />`, total.reasoning ? t("{n} thinking", { n: num(total.reasoning) }) : "")}</dl>`;
}

/** The kinds of what is measured, as the chart stacks them. */
function byKind(bars, measure) {
  return STACKS[measure].map(([name, colour, value], i) => ({ name, colour, pattern: i, values: bars.map(value) })).filter((one, i) => i === 0 || one.values.some(Boolean));
}

/** Id or name → its place among those that are drawn one by one, the largest first. */
function largest(told, measure) {
  const of = LISTED[measure];
  const sizes = told.sums.series.map((series) => [keyOf(series), series.requests.reduce((sum, _, i) => sum + of(series, i), 0)]);
  return new Map(sizes.filter(([, size]) => size).sort((a, b) => b[1] - a[1]).slice(0, LARGEST).map(([key], at) => [key, at]));
}

/** The largest groups, and all others together. */
function byGroup(told, measure) {
  const { series, others, bars } = told.sums;
  const of = LISTED[measure];
  const first = largest(told, measure);
  const drawn = series.filter((one) => first.has(keyOf(one))).sort((a, b) => first.get(keyOf(a)) - first.get(keyOf(b)))
    .map((one, at) => ({ name: nameOf(told.group, one), ...look(at), values: bars.map((_, i) => of(one, i)) }));
  const rest = [...series.filter((one) => !first.has(keyOf(one))), ...(others ? [others] : [])];
  const values = bars.map((_, i) => rest.reduce((sum, one) => sum + of(one, i), 0));
  const count = told.sums.rows.length - drawn.length;
  return values.some(Boolean) || !drawn.length ? [...drawn, { name: counted(count, "{n} other", "{n} others"), colour: "--group-others", pattern: 0, values }] : drawn;
}

const keyOf = (row) => `${row.id || ""}\n${row.name}`;
const look = (at) => ({ colour: `--group-${at + 1}`, pattern: at });

function OverTime({ told, measure, split }) {
  const [Chart, setChart] = useState(null);
  const [missing, setMissing] = useState(false);
  useEffect(() => {
    charts().then((drawn) => setChart(() => drawn), () => setMissing(true));
  }, []);
  const { bars } = told.sums;
  const shown = bars.map((bar) => place(bar.name));
  const series = split === "kind" ? byKind(bars, measure) : byGroup(told, measure);
  const sizes = bars.map(MEASURED[measure]);
  const most = sizes.indexOf(Math.max(...sizes));
  const what = Object.fromEntries(MEASURES)[measure];
  const count = counted(bars.length, "{n} bar", "{n} bars");
  const label = [
    told.byHour ? t("{what} by the hour, {bars}.", { what, bars: count }) : t("{what} by the day, {bars}.", { what, bars: count }),
    sizes[most] ? t("Most: {figure}, {when}.", { figure: figure[measure](sizes[most]), when: shown[most].title }) : t("None."),
    t("Arrow keys read each one."),
  ].join(" ");
  if (missing) return html`<p class="t3 sm" role="alert">${t("The chart could not be loaded. The figures are in the table.")}</p>`;
  if (!Chart) return html`<div class="chart-box skeleton" aria-hidden="true"><i /></div>`;
  return html`<${Chart} label=${label} series=${series} ticks=${shown.map((one) => one.tick)} titles=${shown.map((one) => one.title)} format=${figure[measure]} sum=${t("together")} />`;
}

/** Where the rows of a group stand in the log. */
function linkOf(group, row) {
  const value = group === "account" || group === "key" ? row.id || row.name : row.name;
  return value ? `#/activity${query({ [group]: value })}` : null;
}

const nameOf = (group, row) => (!row.name ? NOBODY[group] : group === "provider" ? providerName(row.name) : row.name);

function Name({ group, row }) {
  const text = nameOf(group, row);
  const mono = group === "model" ? " mono" : "";
  const href = linkOf(group, row);
  if (!href) return html`<span class="t3">${text}</span>`;
  return html`<a class=${"row-link cut strong" + mono} data-row href=${href} title=${t("{name}: its requests", { name: text })}>${text}</a>`;
}

function Paid({ row }) {
  const more = row.unpriced ? html`<span class="unpriced warn" title=${counted(row.unpriced, "{n} request without a known price: not counted, and not free", "{n} requests without a known price: not counted, and not free")}>+ ${t("{n} not priced", { n: num(row.unpriced) })}</span>` : null;
  if (row.cost_usd === null) return html`<span class="t4" title=${t("No price is known. It is not counted as free.")}>${t("unknown")}</span>`;
  return html`<span class="stack none"><span title=${"$" + row.cost_usd}>${usd(row.cost_usd)}</span>${more}</span>`;
}

function Sums({ told, measure, split }) {
  const [all, setAll] = useState(false);
  const { group, sums } = told;
  const of = MEASURED[measure];
  const rows = [...sums.rows].sort((a, b) => of(b) - of(a) || b.requests - a.requests);
  const most = Math.max(...rows.map(of), 0);
  const shown = all ? rows : rows.slice(0, SHOWN);
  const title = Object.fromEntries(GROUPS)[group];
  const places = split === "kind" ? null : largest(told, measure);
  const fill = (row) => (places === null ? "" : places.has(keyOf(row)) ? `--group-${places.get(keyOf(row)) + 1}` : "--group-others");
  const pattern = (row) => (places === null ? "" : `fill-${(places.get(keyOf(row)) || 0) % 4}`);
  return html`<div class="sheet"><table class="grid usage"><thead><tr><th scope="col">${title}</th><th scope="col" class="p3 c-share"><span class="sr">${t("Share of {what}", { what: within(Object.fromEntries(MEASURES)[measure]) })}</span></th><th scope="col" class="num">${t("Requests")}</th><th scope="col" class="num p4">${t("Failed")}</th><th scope="col" class="num p2">${t("In")}</th><th scope="col" class="num p4">${t("From cache")}</th><th scope="col" class="num p2">${t("Out")}</th><th scope="col" class="num">${t("Cost")}</th><th scope="col" class="num p3" title=${t("What a subscription paid for would have cost by the token")}>${t("Worth")}</th></tr></thead>
    <tbody>${shown.map((row) => html`<tr key=${row.id || row.name}>
      <td class="c-name"><${Name} group=${group} row=${row} /></td>
      <td class="p3 c-share" aria-hidden="true"><span class="share"><i class=${pattern(row)} style=${{ width: most ? `${Math.max(of(row) ? 1.5 : 0, (100 * of(row)) / most)}%` : "0%", ...(fill(row) ? { "--fill": `var(${fill(row)})` } : {}) }} /></span></td>
      <td class="num"><${Num} value=${row.requests} /></td><td class="num p4">${row.failed ? html`<span class="bad">${num(row.failed)}</span>` : html`<span class="t4">0</span>`}</td>
      <td class="num p2"><${Num} value=${read(row)} /></td><td class="num p4 t2"><${Num} value=${row.cache_read} /></td><td class="num p2"><${Num} value=${row.output} /></td>
      <td class="num"><${Paid} row=${row} /></td><td class="num p3 t2">${dollars(row, money.worth) ? html`<span title=${"$" + row.worth_usd}>${usd(row.worth_usd)}</span>` : html`<span class="t4">–</span>`}</td></tr>`)}</tbody></table></div>
    ${rows.length > shown.length ? html`<div class="list-foot"><${Button} onClick=${() => setAll(true)}>${t("Show all {n}", { n: exact(rows.length) })}<//></div>` : null}`;
}

function Dates({ params, set }) {
  const field = (name, label, min, max) => html`<label class="inline">${label}<input class="input small" type="date" name=${name} min=${min || null} max=${max} value=${params[name] || ""} onChange=${(event) => set({ [name]: event.currentTarget.value })} /></label>`;
  const today = dayIn(Date.now(), browserZone());
  return html`<div class="filters" role="group" aria-label=${t("Days")}>${field("from", t("From"), "", params.to || today)}${field("to", t("to"), params.from, today)}</div>`;
}

const moment = (at, zone) => new Date(at).toLocaleString(locale || ENGLISH, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: zone });

export function Usage({ route }) {
  const { params } = route;
  const span = spanOf(params);
  const group = GROUPS.some(([name]) => name === params.by) ? params.by : "account";
  const measure = MEASURED[params.show] ? params.show : "spend";
  const split = params.split === "kind" ? "kind" : "group";
  const { told, failed, again } = useUsage(span, group);
  const set = (more) => replaceParams({ ...params, ...more });
  const setPeriod = (period) => {
    const today = dayIn(Date.now(), browserZone());
    set(period === "custom" ? { period, from: params.from || dayIn(midnight(6), browserZone()), to: params.to || today } : { period, from: "", to: "" });
  };
  const file = told && query({ group, from: told.sums.from, to: told.sums.to, zone: told.sums.zone, format: "csv" });
  const empty = told && !told.sums.total.requests;
  return html`<div class="page">
    <div class="page-head"><h1>${t("Usage")}</h1>${told ? html`<span class="sub" title=${t("Days are those of {zone}", { zone: told.sums.zone })}>${span.live ? t("since {from}", { from: moment(told.sums.from, told.sums.zone) }) : t("since {from} until {to}", { from: moment(told.sums.from, told.sums.zone), to: moment(told.sums.to, told.sums.zone) })} · ${told.sums.zone}</span>` : null}
      <div class="actions wrapping"><${Segments} label=${t("Period")} value=${span.period} options=${PERIODS} onChange=${setPeriod} />${file ? html`<a class="btn" href=${"/api/usage" + file} download><${Icon} name="download" />CSV</a>` : null}</div></div>
    ${span.period === "custom" ? html`<${Dates} params=${params} set=${set} />` : null}
    ${failed ? html`<div class="strip bad" role="alert"><div class="strip-text"><span class="strong">${t("Usage could not be read")}</span><span class="t2 wrap">${failed}</span></div><${Button} small onClick=${again}>${t("Try again")}<//></div>` : null}
    ${!span.ask ? html`<${Empty} icon="clock" title=${t("Choose two days")}>${t("The first must not lie behind the second.")}<//>`
    : !told ? (failed ? null : html`<${Skeleton} rows=${9} />`)
    : html`<${Figures} total=${told.sums.total} />
      ${empty ? html`<${Empty} icon="chart-column" title=${t("Nothing was asked in this time")} action=${html`<a class="btn" href="#/playground">${t("Try a model")}</a>`}>${t("As soon as a program asks, it is added up here.")}<//>` : html`
      <section class="section" aria-label=${t("Over time")}><div class="section-head between"><h2>${t("Over time")}</h2><div class="flex wrapping"><${Segments} label=${t("Bars split by")} value=${split} options=${[["group", t("Who")], ["kind", t("Kind")]]} onChange=${(one) => set({ split: one === "kind" ? one : "" })} /><${Segments} label=${t("What is drawn")} value=${measure} options=${MEASURES} onChange=${(show) => set({ show })} /></div></div>
        <div class="sheet pad"><${OverTime} told=${told} measure=${measure} split=${split} /></div></section>
      <section class="section" aria-label=${t("Who used it")}><div class="section-head between"><h2>${t("Who used it")}</h2><${Segments} label=${t("Added up by")} value=${group} options=${GROUPS} onChange=${(by) => set({ by })} /></div>
        <${Sums} key=${told.group} told=${told} measure=${measure} split=${split} /></section>`}
      <${Reconciled} />`}
  </div>`;
}
