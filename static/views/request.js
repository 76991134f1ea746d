// One request: what was asked, who was tried, who was skipped and why, what it cost, and where each number comes from.
import { useEffect, useLayoutEffect, useState } from "../vendor/hooks.mjs";
import { providerName as labelOf } from "../actions.js";
import { baseUrl, get } from "../api.js";
import { absolute, exact, ms, usd } from "../format.js";
import { arrivals, caughtUp, nodeOf, resync, tidyRows } from "../live.js";
import { Button, Copy, Cost, Dot, Empty, html, Icon, oops, requestWords, Skeleton, Status } from "../ui.js";
import { asCurl, protocolName } from "../protocols.js";
import { go } from "../route.js";
import { counted, parts, said, t } from "../texts.js";
import { measured, silent, SOURCES, unspent, WAYS } from "./request_table.js";
import { longest, Points } from "./routing.js";

const providerName = (id) => said(labelOf(id));
const PRICES = {
  reported: t("reported by the provider"),
  override: t("set by you"),
  subscription: t("paid for by a subscription"),
};

/** The story in one sentence. */
function Sentence({ row }) {
  const tries = (row.attempts || []).length;
  const who = row.account ? html`<b>${row.account.label}</b>` : t("no account");
  const model = row.model ? parts(" with {model}", { model: html`<b class="wrap">${row.model}</b>` }) : null;
  const after = tries > 1 ? t(", on attempt {n}", { n: tries }) : "";
  const took = html`<b>${ms(row.duration_ms)}</b>`;
  if (row.state === "open") return parts("In flight at {who}{model}{after}.", { who, model, after });
  if (row.outcome === "ok") return parts("Answered by {who}{model} in {took}{after}.", { who, model, took, after });
  if (row.outcome === "client_left") return parts("The client closed the connection after {took}, while {who} was answering{model}.", { took, who, model });
  if (row.outcome === "cut") return parts("{who} broke off in the middle of the answer{model}, after {took}.", { who, model, took });
  if (row.outcome === "recovered") return parts("omni-connector stopped while {who} was answering{model}. The numbers are an estimate.", { who, model });
  if (tries) return parts("Failed after {attempts}, in {took}.", { attempts: counted(tries, "{n} attempt", "{n} attempts"), took });
  return parts("Failed before any attempt, in {took}.", { took });
}

function Timeline({ row }) {
  const attempts = row.attempts || [];
  const skipped = row.skipped || [];
  if (!attempts.length && !skipped.length) return html`<p class="t3 pad">${t("No account was tried.")}</p>`;
  const total = Math.max(1, row.duration_ms || 0, attempts.reduce((sum, attempt) => sum + (attempt.ms || 0), 0));
  let begun = 0;
  return html`<ol class="timeline">${attempts.map((attempt, i) => {
    const left = (100 * begun) / total;
    const length = attempt.ms === null || attempt.ms === undefined ? total - begun : attempt.ms;
    begun += attempt.ms || 0;
    const running = row.state === "open" && i === attempts.length - 1 && !attempt.kind;
    const good = !attempt.kind && (attempt.status === null || attempt.status === undefined || attempt.status < 400);
    const [shape, tone] = running ? ["pulse", "accent"] : good ? ["circle", "ok"] : ["diamond", "bad"];
    return html`<li key=${i}><span class="t-mark"><${Dot} shape=${shape} tone=${tone} /></span>
      <div class="t-who"><span class="strong cut">${attempt.account || providerName(attempt.provider)}</span><span class="sm t3 cut">${attempt.model || ""}</span></div>
      <div class="t-bar" aria-hidden="true"><i class=${tone} style=${{ marginLeft: left + "%", width: Math.max(0.6, (100 * length) / total) + "%" }} /></div>
      <div class="t-ms num">${running ? "…" : ms(attempt.ms)}</div>
      <div class="t-what">${running ? html`<span class="t3">${t("waiting for the answer")}</span>` : good ? html`<span class="t3">${attempt.status || "ok"}</span>` : html`<span class="bad strong">${attempt.status || attempt.kind}</span> <span class="t2 wrap">${attempt.message || attempt.kind}</span>`}</div></li>`;
  })}${skipped.map((skip, i) => html`<li key=${"s" + i} class="skip"><span class="t-mark"><${Dot} shape="ring" tone="mute" /></span>
      <div class="t-who"><span class="cut">${skip.account || providerName(skip.provider)}</span><span class="sm t3 cut">${skip.model || ""}</span></div>
      <div class="t-what"><span class="t3">${t("skipped:")}</span> <span class="t2 wrap">${skip.reason}</span></div></li>`)}</ol>`;
}

/** The plan as it was: who could have served, in order, and what placed them there. */
function Plan({ plan }) {
  if (!plan || !plan.candidates.length) return null;
  const most = longest(plan.candidates);
  const tiers = new Set(plan.candidates.map((one) => one.tier)).size > 1;
  return html`<section class="section"><div class="section-head"><h2>${t("Why this account")}</h2><span class="t3 sm">${t("as it was then, by the strategy {name}", { name: plan.policy })}</span></div>
    ${plan.panic ? html`<div class="verdict caution"><${Dot} shape="half" tone="warn" /><span>${t("Every account was out, on our own guess only: the least bad one was tried all the same.")}</span></div>` : null}
    <ol class="sheet ranks" aria-label=${t("Why this account")}>${plan.candidates.map((one, i) => html`<li key=${i}><span class="rank num t3">${i + 1}</span>
      <div class="t-who"><span class="strong cut">${one.account}</span><span class="sm t3 wrap">${providerName(one.provider)} · <span class="mono">${one.model}</span>${tiers ? " · " + t("tier {n}", { n: one.tier }) : ""}</span></div>
      <div class="stack"><span class="t2 sm wrap">${one.reason}</span>${one.score ? html`<${Points} parts=${one.score.parts} most=${most} />` : null}</div>
      <span class="num strong" title=${t("Points: only comparable within a tier")}>${one.score ? Number(one.score.total.toFixed(2)) : ""}</span></li>`)}</ol>
    ${plan.more ? html`<p class="note">${t("And {n} more.", { n: plan.more })}</p>` : null}</section>`;
}

function Facts({ items }) {
  return html`<dl class="facts">${items.filter((item) => item && item[1] !== null && item[1] !== undefined && item[1] !== "").map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd class="wrap">${value}</dd></div>`)}</dl>`;
}

/** Where the cost comes from, or why there is none. */
function priceNote(row) {
  if (row.cost && row.cost.usd !== null && row.cost.usd !== undefined) return t("Price: {source}.", { source: (PRICES[row.cost.source] || row.cost.source || t("unknown source")) + (Number(row.cost.usd) ? ` ($${row.cost.usd})` : "") });
  if (row.state === "open") return "";
  if (unspent(row)) return t("Nothing was counted, so nothing is charged here.");
  return silent(row) ? t("So its cost is unknown; it does not count as free.") : t("No price is known for this model.");
}

function Usage({ row }) {
  const u = row.usage || {};
  const rows = [[t("Input"), u.input], [t("From cache"), u.cache_read], [t("Into cache"), u.cache_write], [t("Output"), u.output], [t("of it reasoning"), u.reasoning]];
  const told = t("Tokens: {source}.", { source: SOURCES[u.source] || u.source || t("not known") });
  return html`<section class="section"><div class="section-head"><h2>${t("Tokens and cost")}</h2>${measured(row) ? html`<span class="tag kind" title=${told}>${WAYS[u.source] || u.source}</span>` : null}</div><div class="sheet pad">
    ${measured(row) ? html`<dl class="facts">${rows.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd class="num">${exact(value)}</dd></div>`)}</dl>`
    : silent(row) ? html`<dl class="facts"><div><dt>${t("Tokens")}</dt><dd class="num t3">${t("not reported")}</dd></div></dl>` : html`<p class="t3">${row.state === "open" ? t("Counted when the answer is complete.") : t("No tokens are known.")}</p>`}
    <dl class="facts sum"><div><dt>${t("Cost")}</dt><dd class="num strong">${row.state === "open" || unspent(row) ? "–" : html`<${Cost} cost=${row.cost} />`}</dd></div>${row.cost && Number(row.cost.worth_usd) ? html`<div><dt title=${t("What it would have cost by the token; a subscription pays for it.")}>${t("Worth")}</dt><dd class="num">${usd(row.cost.worth_usd)}</dd></div>` : null}</dl>
    <p class="note">${silent(row) ? t("The provider did not say how many tokens this used, and none are made up.") : told} ${priceNote(row)}</p></div></section>`;
}

export function Request({ route }) {
  const [row, setRow] = useState(null);
  const [missing, setMissing] = useState("");
  const [raw, setRaw] = useState(false);
  useEffect(() => {
    const stop = new AbortController();
    setMissing("");
    const read = () => get("/api/requests/" + encodeURIComponent(route.id), { signal: stop.signal }).then((data) => tidyRows([data])[0]);
    read().then(async (found) => {
      setRow(found);
      if (caughtUp([found])[0] !== found) setRow(await read()); // It was over while the answer was under way.
    }).catch((error) => error.name !== "AbortError" && setMissing(error.message));
    return () => stop.abort();
  }, [route.id, resync.value]);
  useLayoutEffect(() => {
    const news = arrivals.value.rows.find((other) => other.id === route.id);
    if (!news) return;
    setRow((old) => ({ ...news, plan: old && old.id === news.id ? old.plan : null }));
    // The plan is in the books, not in the news.
    if (news.state !== "open") get("/api/requests/" + encodeURIComponent(news.id)).then((data) => setRow((old) => (old && old.id === data.id ? tidyRows([data])[0] : old))).catch(oops);
  }, [arrivals.value]);

  const back = () => (history.length > 1 ? history.back() : go("activity"));
  const head = (title, actions) => html`<div class="page-head"><a class="crumb t3" href="#/activity" onClick=${(event) => { event.preventDefault(); back(); }}>${t("Activity")}</a><${Icon} name="chevron-right" size=${13} /><h1 class="cut">${title}</h1><div class="actions">${actions}</div></div>`;
  if (missing) return html`<div class="page">${head(t("Request"))}<${Empty} icon="search" title=${t("This request is not in the log")} action=${html`<${Button} onClick=${() => go("activity")}>${t("Back to activity")}<//>`}>${missing}<//></div>`;
  if (!row || row.id !== route.id) return html`<div class="page">${head(t("Request"))}<${Skeleton} rows=${6} /></div>`;

  const actions = html`<${Copy} what=${t("Request as curl")} kind="" small=${false} text=${() => asCurl(row, baseUrl())}>${t("Copy as curl")}<//><${Copy} what=${t("Request as JSON")} kind="" small=${false} text=${() => JSON.stringify(row, null, 2)}>${t("Copy as JSON")}<//>`;
  return html`<div class="page request-page">${head(html`<span class="mono">${row.id}</span>`, actions)}
    <div class="story"><${Status} words=${requestWords(row)} quiet />${row.flag ? html`<span class="flag">${row.flag}</span>` : null}<p class="wrap"><${Sentence} row=${row} /></p></div>
    ${row.error ? html`<div class="verdict poor"><${Dot} shape="diamond" tone="bad" /><div class="stack tight"><span class="mono sm t2">${row.error.kind}</span><span class="wrap">${row.error.message}</span></div></div>` : null}
    <section class="section"><div class="section-head"><h2>${t("Attempts")}</h2><span class="t3 sm wrap">${row.route || ""}</span><a class="more nowrap" href=${"#/routing?" + new URLSearchParams({ model: row.model_requested || "auto" })}>${t("How would it go now?")}</a></div><div class="sheet"><${Timeline} row=${row} /></div></section>
    <${Plan} plan=${row.plan} />
    <div class="two-col">
      <section class="section"><div class="section-head"><h2>${t("Request")}</h2></div><div class="sheet pad"><${Facts} items=${[
        [t("Time"), absolute(row.at)], [t("Model asked for"), html`<span class="mono">${row.model_requested || `(${t("default")})`}</span>`], [t("Model served"), row.model ? html`<span class="mono">${row.model}</span>` : null],
        [t("Provider"), row.provider ? providerName(row.provider) : null], [t("Account"), row.account ? html`<a class="link" href=${"#/activity?account=" + encodeURIComponent(row.account.id)}>${row.account.label}</a>` : null],
        [t("Key"), row.key ? html`<a class="link" href=${"#/activity?key=" + encodeURIComponent(row.key.id)}>${row.key.name}</a>` : null], [t("Client"), row.client], [t("Node"), nodeOf(row)],
        [t("Format"), row.stream ? t("{format}, streamed", { format: protocolName(row.protocol) }) : protocolName(row.protocol)], [t("Path"), html`<span class="mono">${row.path}</span>`], [t("HTTP status"), row.http_status],
        [t("First token"), row.first_token_ms === null || row.first_token_ms === undefined ? null : ms(row.first_token_ms)], [t("Took"), ms(row.duration_ms)],
        [t("Dropped"), row.dropped && row.dropped.length ? row.dropped.map((item) => (typeof item === "string" ? item : JSON.stringify(item))).join(", ") : null],
      ]} /></div></section>
      <${Usage} row=${row} />
    </div>
    <section class="section"><button type="button" class="fold t3" aria-expanded=${String(raw)} onClick=${() => setRaw(!raw)}><${Icon} name=${raw ? "chevron-down" : "chevron-right"} size=${14} />${t("As JSON")}</button>
      ${raw ? html`<pre class="code sheet">${JSON.stringify(row, null, 2)}</pre>` : null}</section>
  </div>`;
}
