// Rows of the request log. A long list is cut into pieces, and only those near the window are drawn; the others are as high as they were.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.mjs";
import { providerName } from "../actions.js";
import { absolute, clock, exact, num } from "../format.js";
import { nodeOf, providersById } from "../live.js";
import { protocolKind } from "../protocols.js";
import { said, t } from "../texts.js";
import { Ago, Cost, html, Ms, requestWords, Status } from "../ui.js";

const PIECE = 50; // Rows of a piece; the first one grows to twice as many by what comes in.
const LONG = 150; // From so many rows on they are drawn in pieces.
const NEAR = "1000px 0px";
const COLUMNS = 10;

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

/** Drawn again when its row changes, and not when another one does. */
function Line({ row, isNew }) {
  const names = providersById.value;
  const node = nodeOf(row);
  return useMemo(() => html`<tr class=${(row.state === "open" ? "is-open" : "") + (isNew ? " is-new" : "")}>
      <td class="c-status"><span class="flex"><${Status} words=${requestWords(row)} title=${row.error ? row.error.message : row.route} />${row.flag ? html`<span class="flag p3" title=${row.error ? row.error.message : null}>${row.flag}</span>` : null}</span></td>
      <td class="p2 t2 nowrap" title=${absolute(row.at)}>${Date.now() - row.at < 86400000 ? clock(row.at) : html`<${Ago} at=${row.at} suffix=" ago" />`}</td>
      <td class="c-model"><a class="row-link strong" data-row href=${"#/activity/" + encodeURIComponent(row.id)}><${Asked} row=${row} /></a><span class="under sm t3 cut">${[row.outcome === "ok" ? "" : requestWords(row)[0], protocolKind(row.protocol), row.account && row.account.label, clock(row.at)].filter(Boolean).join(" · ")}</span></td>
      <td class="c-account p2">${row.account ? row.account.label : html`<span class="t4">${t("none")}</span>`}${row.provider ? html`<span class="t4 p5"> ${said(providerName(row.provider))}</span>` : null}</td>
      <td class="c-client p4a t2"><span>${[row.key && row.key.name, row.client].filter(Boolean).join(" · ") || "–"}</span>${node ? html`<span class="t4 p5" title=${t("Node")}> ${node}</span>` : null}</td>
      <td class="num p4 t2"><${Attempts} row=${row} /></td>
      <td class="num p3 t2"><${Ms} value=${row.first_token_ms} /></td>
      <td class="num"><${Ms} value=${row.duration_ms} /></td>
      <td class="num p3 t2"><${Tokens} row=${row} /></td>
      <td class="num p2">${row.state === "open" || unspent(row) ? html`<span class="t4">–</span>` : html`<${Cost} cost=${row.cost} />`}</td>
    </tr>`, [row, isNew, names, node]);
}

function Piece({ rows, from, fresh, long }) {
  const body = useRef(null);
  const [height, fold] = useState(0); // 0: it is drawn.
  useEffect(() => {
    if (!long) return fold(0);
    let near = true;
    const settle = () => body.current && fold(near || body.current.contains(document.activeElement) ? 0 : body.current.getBoundingClientRect().height);
    const watch = new IntersectionObserver((seen) => { near = seen.at(-1).isIntersecting; settle(); }, { rootMargin: NEAR });
    const left = () => setTimeout(settle); // By then the focus is where it goes.
    const node = body.current;
    watch.observe(node);
    node.addEventListener("focusout", left);
    return () => {
      watch.disconnect();
      node.removeEventListener("focusout", left);
    };
  }, [long]);
  useLayoutEffect(() => {
    if (!long || height) return;
    [...body.current.rows].forEach((line, i) => line.setAttribute("aria-rowindex", from + i + 2)); // Not by Line: each new row moves all of them.
  });
  return html`<tbody ref=${body} class=${height ? "folded" : null} aria-hidden=${height ? "true" : null}>${height ? html`<tr><td colspan=${COLUMNS} style=${{ height: `${height}px` }} /></tr>`
    : rows.map((row) => html`<${Line} key=${row.id} row=${row} isNew=${!!fresh && fresh.has(row.id)} />`)}</tbody>`;
}

/** [[key, rows]]. A row stays in its piece when others come before or after it: what is drawn of it, and the focus in it, stay too. */
function cut(rows, starts) {
  const pieces = [];
  let key = "first", part = [];
  const next = (row, rest) => {
    starts.add(row.id);
    pieces.push([key, part]);
    key = row.id;
    part = rest;
  };
  for (const row of rows) {
    if (part.length && starts.has(row.id)) next(row, []);
    part.push(row);
    if (part.length < 2 * PIECE) continue;
    const rest = part.splice(PIECE);
    next(rest[0], rest);
  }
  return [...pieces, [key, part]];
}

export function RequestTable({ rows, fresh }) {
  const starts = useRef(new Set());
  const long = rows.length > LONG;
  const pieces = long ? cut(rows, starts.current) : [["first", rows]];
  let from = 0;
  const drawn = pieces.map(([key, part]) => {
    from += part.length;
    return html`<${Piece} key=${key} rows=${part} from=${from - part.length} fresh=${fresh} long=${long} />`;
  });
  return html`<div class="sheet"><table class="grid requests" aria-rowcount=${long ? rows.length + 1 : null}>
    <thead><tr><th>${t("Status")}</th><th class="p2">${t("Time")}</th><th>${t("Model")}</th><th class="p2">${t("Account")}</th><th class="p4a">${t("Client")}</th><th class="num p4" title=${t("Accounts tried, and candidates skipped")}>${t("Tries")}</th><th class="num p3" title=${t("Time to the first token")}>${t("First")}</th><th class="num">${t("Took")}</th><th class="num p3">${t("Tokens")}</th><th class="num p2">${t("Cost")}</th></tr></thead>${drawn}</table></div>`;
}
