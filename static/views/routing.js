// Routing: how accounts are chosen, names that stand for several, and what the router would do with a request right now.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { connect, providerName } from "../actions.js";
import { call, del, get, post } from "../api.js";
import { plural, span } from "../format.js";
import { accounts, keys, resync } from "../live.js";
import { Button, closeDialog, confirm, Dialog, Dot, Empty, html, Icon, In, oops, openDialog, Select, Skeleton, TextField, toast } from "../ui.js";
import { replaceParams } from "../route.js";

const STRATEGIES = [
  ["auto", "Auto", "Quota, speed, errors, price, cache and load weighed together."],
  ["performance", "Performance", "The fastest first."],
  ["cost", "Cost", "The cheapest for this request; an unknown price is not a low one."],
  ["round-robin", "Round robin", "Each in turn."],
  ["fill-first", "Fill first", "Always the first, by priority; the next when it is out."],
  ["lru", "Longest rested", "Whoever was not used for longest."],
];
const WIRES = [["openai-chat", "OpenAI Chat"], ["openai-responses", "OpenAI Responses"], ["anthropic-messages", "Anthropic Messages"], ["gemini-generate", "Gemini"], ["openai-completions", "Completions"], ["openai-embeddings", "OpenAI embeddings"]];
const KINDS = { model: "a model", provider: "a provider", provider_model: "a model at one provider", label: "an account", prefix: "a prefix", alias: "an alias", chain: "a chain", auto: "any model", default: "the default model", claude: "a kind of Claude model", "cost-priority": "every chat model, the cheapest first", "intelligence-priority": "every chat model, the most capable first" };

/** Says the same to every part of the page that shows the configuration. */
function useConfig() {
  const [config, setConfig] = useState(null);
  const load = () => get("/api/config").then(setConfig).catch((error) => { oops(error); setConfig((old) => old || { settings: [], aliases: {}, chains: {} }); });
  useEffect(() => {
    load();
  }, [resync.value]);
  return [config, load];
}

// ------------------------------------------------------------------ strategy
function Strategy({ config, onChange }) {
  const setting = config.settings.find((item) => item.name === "strategy");
  const [busy, setBusy] = useState("");
  if (!setting) return null;
  const fixed = setting.source === "environment";
  const choose = async (name) => {
    if (busy || name === setting.value) return;
    setBusy(name);
    try {
      await post("/api/config", { strategy: name });
      await onChange();
      toast("The strategy applies to every new request.", { tone: "ok" });
    } catch (error) {
      oops(error);
    }
    setBusy("");
  };
  const known = STRATEGIES.filter(([name]) => !setting.choices || !setting.choices.length || setting.choices.includes(name));
  return html`<section class="section"><div class="section-head"><h2>Strategy</h2><span class="t3 sm">${fixed ? `fixed by ${setting.env} in the environment` : "when several accounts can serve a request"}</span></div>
    <div class="strategies" role="radiogroup" aria-label="Strategy">${known.map(([name, words, what]) => html`<label class="strategy" key=${name}>
      <input type="radio" name="strategy" value=${name} checked=${(busy || setting.value) === name} disabled=${fixed} onChange=${() => choose(name)} />
      <span class="stack none"><span class="strong">${words}</span><span class="t3 sm">${what}</span></span></label>`)}</div></section>`;
}

// ------------------------------------------------------------------ aliases and chains
const NAMES = {
  aliases: { title: "Aliases", one: "alias", One: "Alias", field: "targets", lines: "Targets", what: "Another name for the first target that can serve.", hint: "One per line, first choice first: a model, provider/model, an account …", none: "An alias is another name for a model, such as “fast”." },
  chains: { title: "Chains", one: "chain", One: "Chain", field: "tiers", lines: "Tiers", what: "The next tier is for when all members of the one before are out.", hint: "One tier per line; its members with commas: account, or account::model.", none: "A chain is a name for accounts in tiers: work first, then free, then local." },
};
const asLines = (kind, entry) => entry.map((line) => (kind === "chains" ? line.join(", ") : line)).join("\n");
const members = (line) => line.split(",").map((part) => part.trim()).filter(Boolean);

function fromLines(kind, text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return kind === "chains" ? lines.map(members).filter((tier) => tier.length) : lines;
}

/** Make or change an alias or a chain. `name` "": a new one. */
export function EditName({ what, name, entry, onDone }) {
  const words = NAMES[what];
  const [called, setCalled] = useState(name);
  const [text, setText] = useState(entry ? asLines(what, entry) : "");
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState(false);
  const save = async (event) => {
    event.preventDefault();
    const value = fromLines(what, text);
    const bad = {};
    if (!called.trim()) bad.name = "Programs ask for it by this name.";
    if (!value.length) bad.lines = "At least one.";
    setWrong(bad);
    if (Object.keys(bad).length) return;
    setBusy(true);
    try {
      await call("PUT", `/api/${what}/${encodeURIComponent(called.trim())}`, { [words.field]: value });
      closeDialog();
      await onDone();
    } catch (error) {
      setWrong({ [error.param === "name" ? "name" : "lines"]: error.message });
      setBusy(false);
    }
  };
  const dirty = called !== name || text !== (entry ? asLines(what, entry) : "");
  return html`<${Dialog} title=${name ? `${words.One} “${name}”` : `New ${words.one}`} sub=${words.what} width=${480} onClose=${closeDialog} dirty=${dirty}
    foot=${html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>Cancel<//><${Button} kind="primary" type="submit" form="name-form" busy=${busy}>Save<//>`}>
    <form id="name-form" class="form" onSubmit=${save}>
      <${TextField} label="Name" name="name" maxlength="64" autofocus=${!name} disabled=${!!name} value=${called} onInput=${setCalled} error=${wrong.name} />
      <${TextField} label=${words.lines} name="lines" area rows="4" autofocus=${!!name} hint=${words.hint} value=${text} onInput=${setText} error=${wrong.lines} />
    </form><//>`;
}

function Names({ what, entries, onChange }) {
  const words = NAMES[what];
  const list = Object.entries(entries || {});
  const edit = (name, entry) => openDialog("edit-name", { what, name, entry, onDone: onChange });
  const remove = (name) => confirm({
    title: `Remove ${words.one} “${name}”?`, body: "Programs that ask for it are told that there is no such model.", action: "Remove", danger: true,
    onYes: () => del(`/api/${what}/${encodeURIComponent(name)}`).then(onChange).catch(oops),
  });
  return html`<section class="section"><div class="section-head"><h2>${words.title}</h2><${Button} small kind="ghost" icon="plus" onClick=${() => edit("", null)}>New ${words.one}<//></div>
    <div class="sheet">${list.length ? html`<ul class="names">${list.map(([name, entry]) => html`<li key=${name}>
      <button type="button" class="row-link mono strong cut" data-row onClick=${() => edit(name, entry)}>${name}</button>
      <span class="tiers">${entry.map((line, i) => html`<span class="flex gap5" key=${i}>${i ? html`<${Icon} name="arrow-right" size=${12} />` : null}<span class="mono sm wrap">${what === "chains" ? line.join(", ") : line}</span></span>`)}</span>
      <span class="row-actions"><${Button} small kind="ghost" icon="pencil" label=${`Edit ${name}`} onClick=${() => edit(name, entry)} /><${Button} small kind="ghost" icon="trash-2" label=${`Remove ${name}`} onClick=${() => remove(name)} /></span></li>`)}</ul>`
    : html`<p class="t3 pad">${words.none}</p>`}</div></section>`;
}

// ------------------------------------------------------------------ explain
/** Points as bars: longer is more, to the left of the line is against. The longest of all has full length; so has priority, which
 *  outweighs the rest together and would leave nothing of it to see. */
export function Points({ parts, most }) {
  const shown = Object.entries(parts).filter(([, points]) => points);
  if (!shown.length) return null;
  return html`<dl class="points">${shown.map(([name, points]) => html`<div key=${name}><dt class="cut">${name.replaceAll("_", " ")}</dt>
    <dd class=${points < 0 ? "against" : "for"} aria-hidden="true"><i style=${{ width: Math.min(100, Math.max(1.5, (100 * Math.abs(points)) / most)) + "%" }} /></dd>
    <dd class="num">${points > 0 ? "+" : ""}${Number(points.toFixed(2))}</dd></div>`)}</dl>`;
}

export const longest = (candidates) => Math.max(...candidates.flatMap((one) => Object.entries((one.score || {}).parts || {}).map(([name, points]) => (name === "priority" ? 0 : Math.abs(points)))), 1);

function Answer({ told }) {
  const most = longest(told.attempts);
  return html`<div class="stack gap12" role="region" aria-label="What would happen">
    <p class="wrap"><b class="mono">${told.requested}</b> is ${KINDS[told.kind] || told.kind}. ${told.attempts.length ? html`The strategy <b>${told.policy}</b> would try ${plural(told.attempts.length, "candidate")}${told.skipped.length ? `, and leave out ${told.skipped.length}` : ""}.` : ""} <span class="t3 sm">${told.route}</span></p>
    ${told.note ? html`<p class="t2 sm wrap">${told.note[0].toUpperCase() + told.note.slice(1)}.</p>` : null}
    ${told.panic ? html`<div class="verdict caution"><${Dot} shape="half" tone="warn" /><span>Every account is out, on our own guess only: the least bad one is tried all the same.</span></div>` : null}
    ${told.refusal ? html`<div class="verdict poor"><${Dot} shape="diamond" tone="bad" /><div class="stack tight"><span class="mono sm t2">${told.refusal.status} ${told.refusal.kind}</span><span class="wrap">${told.refusal.message}${told.retry_after ? ` Somebody is back in ${span(told.retry_after * 1000)}${told.waits_s ? ", and the request waits for it" : ""}.` : ""}</span></div></div>` : null}
    ${told.attempts.length ? html`<ol class="sheet ranks">${told.attempts.map((attempt) => html`<li key=${attempt.rank}><span class="rank num t3">${attempt.rank}</span>
      <div class="t-who"><span class="strong cut">${attempt.account}</span><span class="sm t3 wrap">${providerName(attempt.provider)} · <span class="mono">${attempt.model}</span>${attempt.level ? ` · thinks ${attempt.level}` : ""}</span></div>
      <div class="stack"><span class="t2 sm wrap">${attempt.reason}</span>${attempt.score ? html`<${Points} parts=${attempt.score.parts} most=${most} />` : null}</div>
      <span class="num strong" title="Points: only comparable within this list">${attempt.score ? Number(attempt.score.total.toFixed(2)) : ""}</span></li>`)}</ol>` : null}
    ${told.skipped.length ? html`<ul class="sheet ranks left-out" aria-label="Left out">${told.skipped.map((skip, i) => html`<li key=${i}><span class="rank"><${Dot} shape="ring" tone="mute" /></span>
      <div class="t-who"><span class="cut">${skip.account}</span><span class="sm t3 wrap">${providerName(skip.provider)}${skip.model ? html` · <span class="mono">${skip.model}</span>` : null}</span></div>
      <span class="t2 sm wrap">${skip.reason}</span><span class="num t3 sm nowrap">${skip.until ? html`${skip.guess ? "about " : ""}<${In} at=${skip.until} />` : ""}</span></li>`)}</ul>` : null}</div>`;
}

function Explain({ params }) {
  const [form, setForm] = useState({ model: params.model || "", wire: params.wire || "openai-chat", key: "", body: "" });
  const [told, setTold] = useState(null);
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState(false);
  const set = (name) => (value) => setForm({ ...form, [name]: value });
  const usable = keys.value.filter((key) => key.status === "active");
  const ask = async (event) => {
    if (event) event.preventDefault();
    const question = { model: form.model.trim(), wire: form.wire, ...(form.key ? { key: form.key } : {}) };
    setWrong({});
    if (form.body.trim()) {
      try {
        question.body = JSON.parse(form.body);
      } catch (error) {
        return setWrong({ body: `Not valid JSON: ${error.message}` });
      }
    }
    setBusy(true);
    try {
      setTold(await post("/v1/router/explain", question));
      replaceParams({ model: question.model, wire: form.wire === "openai-chat" ? "" : form.wire });
    } catch (error) {
      setTold(null);
      setWrong({ [error.param === "model" || error.param === "body" ? error.param : "form"]: error.message });
    }
    setBusy(false);
  };
  useEffect(() => {
    if (params.model) ask();
  }, []);
  return html`<section class="section"><div class="section-head"><h2>Explain</h2><span class="t3 sm">the router itself answers; nothing is sent</span></div>
    <form class="sheet pad form" onSubmit=${ask}>
      <div class="ask"><${TextField} label="Model" name="model" data-filter placeholder="auto, a model, provider/model, an alias …" value=${form.model} onInput=${set("model")} error=${wrong.model} /><${Button} kind="primary" type="submit" busy=${busy}>Explain<//></div>
      <details class="more"><summary><${Icon} name="chevron-right" size=${14} />Request</summary><div class="form">
        <div class="form two"><${Select} label="Format" name="wire" value=${form.wire} onChange=${set("wire")} options=${WIRES} /><${Select} label="Key" name="key" value=${form.key} onChange=${set("key")} options=${[["", "any, without limits"], ...usable.map((key) => [key.id, key.name])]} /></div>
        <${TextField} label="Body" name="body" area rows="5" optional hint="A request as your program sends it: what it needs (tools, pictures, a large window) counts." placeholder='{"messages": [{"role": "user", "content": "Hello"}], "tools": […]}' value=${form.body} onInput=${set("body")} error=${wrong.body} /></div></details>
      ${wrong.form ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong.form}</span></div>` : null}
    </form>${told ? html`<${Answer} told=${told} />` : null}</section>`;
}

export function Routing({ route }) {
  const [config, load] = useConfig();
  return html`<div class="page narrow"><div class="page-head"><h1>Routing</h1></div>
    ${!accounts.value.length ? html`<${Empty} icon="corner-down-right" title="Nothing to choose from yet" action=${html`<${Button} kind="primary" icon="plus" onClick=${() => connect()}>Connect account<//>`}>Requests are routed as soon as an account is connected.<//>` : html`<${Explain} params=${route.params} />`}
    ${config === null ? html`<${Skeleton} rows=${6} />` : html`<${Strategy} config=${config} onChange=${load} /><${Names} what="chains" entries=${config.chains} onChange=${load} /><${Names} what="aliases" entries=${config.aliases} onChange=${load} />`}</div>`;
}
