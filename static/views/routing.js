// Routing: how accounts are chosen, names that stand for several, and what the router would do with a request right now.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { connect, providerName } from "../actions.js";
import { call, del, get, post } from "../api.js";
import { span } from "../format.js";
import { accounts, keys, resync } from "../live.js";
import { Button, closeDialog, confirm, Dialog, Dot, Empty, html, Icon, In, oops, openDialog, Select, Skeleton, TextField, toast } from "../ui.js";
import { replaceParams } from "../route.js";
import { Tiers } from "./tiers.js";
import { parts, said, t } from "../texts.js";

const named = (id) => said(providerName(id));

const STRATEGIES = [
  ["auto", t("Auto"), t("Quota, speed, errors, price, cache and load weighed together.")],
  ["performance", t("Performance"), t("The fastest first.")],
  ["cost", t("Cost"), t("The cheapest for this request; an unknown price is not a low one.")],
  ["round-robin", t("Round robin"), t("Each in turn.")],
  ["fill-first", t("Fill first"), t("Always the first, by priority; the next when it is out.")],
  ["lru", t("Longest rested"), t("Whoever was not used for longest.")],
];
const WIRES = [["openai-chat", "OpenAI Chat"], ["openai-responses", "OpenAI Responses"], ["anthropic-messages", "Anthropic Messages"], ["gemini-generate", "Gemini"], ["openai-completions", "Completions"], ["openai-embeddings", "OpenAI embeddings"]];
const KINDS = { model: t("a model"), provider: t("a provider"), provider_model: t("a model at one provider"), label: t("an account"), prefix: t("a prefix"), alias: t("an alias"), chain: t("a chain"), auto: t("any model"), default: t("the default model"), claude: t("a kind of Claude model"), "cost-priority": t("every chat model, the cheapest first"), "intelligence-priority": t("every chat model, the most capable first") };

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
      toast(t("The strategy applies to every new request."), { tone: "ok" });
    } catch (error) {
      oops(error);
    }
    setBusy("");
  };
  const known = STRATEGIES.filter(([name]) => !setting.choices || !setting.choices.length || setting.choices.includes(name));
  return html`<section class="section"><div class="section-head"><h2>${t("Strategy")}</h2><span class="t3 sm">${fixed ? t("fixed by {name} in the environment", { name: setting.env }) : t("when several accounts can serve a request")}</span></div>
    <div class="strategies" role="radiogroup" aria-label=${t("Strategy")}>${known.map(([name, words, what]) => html`<label class="strategy" key=${name}>
      <input type="radio" name="strategy" value=${name} checked=${(busy || setting.value) === name} disabled=${fixed} onChange=${() => choose(name)} />
      <span class="stack none"><span class="strong">${words}</span><span class="t3 sm">${what}</span></span></label>`)}</div></section>`;
}

/** The model of a request that names none: typed, or taken from what the accounts serve. */
function DefaultModel({ config, onChange }) {
  const setting = config.settings.find((item) => item.name === "default_model");
  const [text, setText] = useState(null); // null: what is set.
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  if (!setting) return null;
  const fixed = setting.source === "environment";
  const names = [...new Set(accounts.value.flatMap((account) => account.serves || account.discovered || []))].sort();
  const save = async (event) => {
    event.preventDefault();
    setBusy(true);
    setWrong("");
    try {
      await post("/api/config", { default_model: text.trim() });
      await onChange();
      setText(null);
      toast(t("The default model applies to every new request."), { tone: "ok" });
    } catch (error) {
      setWrong(error.message);
    }
    setBusy(false);
  };
  return html`<section class="section"><div class="section-head"><h2>${t("Default model")}</h2><span class="t3 sm">${fixed ? t("fixed by {name} in the environment", { name: setting.env }) : t("when a request names none")}</span></div>
    <form class="sheet pad form" onSubmit=${save}><div class="ask"><${TextField} label=${t("Default model")} name="default_model" list="served-models" placeholder="auto" disabled=${fixed} value=${text === null ? setting.value || "" : text} onInput=${setText} error=${wrong} /><${Button} type="submit" busy=${busy} disabled=${fixed || text === null || text.trim() === (setting.value || "")}>${t("Save")}<//></div>
      <datalist id="served-models">${names.map((name) => html`<option key=${name} value=${name} />`)}</datalist></form></section>`;
}

// ------------------------------------------------------------------ aliases and chains
const NAMES = {
  aliases: { title: t("Aliases"), called: (name) => t("Alias “{name}”", { name }), fresh: t("New alias"), gone: (name) => t("Remove alias “{name}”?", { name }), field: "targets", lines: t("Targets"), what: t("Another name for the first target that can serve."), hint: t("One per line, first choice first: a model, provider/model, an account …"), none: t("An alias is another name for a model, such as “fast”.") },
  chains: { title: t("Chains"), called: (name) => t("Chain “{name}”", { name }), fresh: t("New chain"), gone: (name) => t("Remove chain “{name}”?", { name }), field: "tiers", lines: t("Tiers"), what: t("The next tier is for when all members of the one before are out."), hint: t("One tier per line; its members with commas: account, or account::model."), none: t("A chain is a name for accounts in tiers: work first, then free, then local.") },
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
    if (!called.trim()) bad.name = t("Programs ask for it by this name.");
    if (!value.length) bad.lines = t("At least one.");
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
  return html`<${Dialog} title=${name ? words.called(name) : words.fresh} sub=${words.what} width=${480} onClose=${closeDialog} dirty=${dirty}
    foot=${html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="name-form" busy=${busy}>${t("Save")}<//>`}>
    <form id="name-form" class="form" onSubmit=${save}>
      <${TextField} label=${t("Name")} name="name" maxlength="64" autofocus=${!name} disabled=${!!name} value=${called} onInput=${setCalled} error=${wrong.name} />
      <${TextField} label=${words.lines} name="lines" area rows="4" autofocus=${!!name} hint=${words.hint} value=${text} onInput=${setText} error=${wrong.lines} />
    </form><//>`;
}

function Names({ what, entries, onChange }) {
  const words = NAMES[what];
  const list = Object.entries(entries || {});
  const edit = (name, entry) => openDialog("edit-name", { what, name, entry, onDone: onChange });
  const remove = (name) => confirm({
    title: words.gone(name), body: t("Programs that ask for it are told that there is no such model."), action: t("Remove"), danger: true,
    onYes: () => del(`/api/${what}/${encodeURIComponent(name)}`).then(onChange).catch(oops),
  });
  return html`<section class="section"><div class="section-head"><h2>${words.title}</h2><${Button} small kind="ghost" icon="plus" onClick=${() => edit("", null)}>${words.fresh}<//></div>
    <div class="sheet">${list.length ? html`<ul class="names">${list.map(([name, entry]) => html`<li key=${name}>
      <button type="button" class="row-link mono strong cut" data-row onClick=${() => edit(name, entry)}>${name}</button>
      ${what === "chains" ? html`<${Tiers} name=${name} tiers=${entry} onChange=${onChange} />` : html`<span class="tiers">${entry.map((line, i) => html`<span class="flex gap5" key=${i}>${i ? html`<${Icon} name="arrow-right" size=${12} />` : null}<span class="mono sm wrap">${line}</span></span>`)}</span>`}
      <span class="row-actions"><${Button} small kind="ghost" icon="pencil" label=${t("Edit {name}", { name })} onClick=${() => edit(name, entry)} /><${Button} small kind="ghost" icon="trash-2" label=${t("Remove {name}", { name })} onClick=${() => remove(name)} /></span></li>`)}</ul>`
    : html`<p class="t3 pad">${words.none}</p>`}</div></section>`;
}

// ------------------------------------------------------------------ explain
/** Points as bars: longer is more, to the left of the line is against. The longest of all has full length; so has priority, which
 *  outweighs the rest together and would leave nothing of it to see. */
export function Points({ parts, most }) {
  const shown = Object.entries(parts).filter(([, points]) => points);
  if (!shown.length) return null;
  return html`<dl class="points">${shown.map(([name, points]) => html`<div key=${name}><dt class="cut">${said(name.replaceAll("_", " "))}</dt>
    <dd class=${points < 0 ? "against" : "for"} aria-hidden="true"><i style=${{ width: Math.min(100, Math.max(1.5, (100 * Math.abs(points)) / most)) + "%" }} /></dd>
    <dd class="num">${points > 0 ? "+" : ""}${Number(points.toFixed(2))}</dd></div>`)}</dl>`;
}

export const longest = (candidates) => Math.max(...candidates.flatMap((one) => Object.entries((one.score || {}).parts || {}).map(([name, points]) => (name === "priority" ? 0 : Math.abs(points)))), 1);

/** "The strategy auto would try 3 candidates, and leave out 2." */
function wouldTry({ policy, attempts, skipped }) {
  const values = { policy: html`<b>${policy}</b>`, n: attempts.length, out: skipped.length };
  if (skipped.length) return attempts.length === 1 ? parts("The strategy {policy} would try {n} candidate, and leave out {out}.", values) : parts("The strategy {policy} would try {n} candidates, and leave out {out}.", values);
  return attempts.length === 1 ? parts("The strategy {policy} would try {n} candidate.", values) : parts("The strategy {policy} would try {n} candidates.", values);
}

function Answer({ told }) {
  const most = longest(told.attempts);
  return html`<div class="stack gap12" role="region" aria-label=${t("What would happen")}>
    <p class="wrap">${parts("{name} is {kind}.", { name: html`<b class="mono">${told.requested}</b>`, kind: KINDS[told.kind] || told.kind })} ${told.attempts.length ? wouldTry(told) : ""} <span class="t3 sm">${told.route}</span></p>
    ${told.note ? html`<p class="t2 sm wrap">${told.note[0].toUpperCase() + told.note.slice(1)}.</p>` : null}
    ${told.panic ? html`<div class="verdict caution"><${Dot} shape="half" tone="warn" /><span>${t("Every account is out, on our own guess only: the least bad one is tried all the same.")}</span></div>` : null}
    ${told.refusal ? html`<div class="verdict poor"><${Dot} shape="diamond" tone="bad" /><div class="stack tight"><span class="mono sm t2">${told.refusal.status} ${told.refusal.kind}</span><span class="wrap">${told.refusal.message}${told.retry_after ? ` ${told.waits_s ? t("Somebody is back in {time}, and the request waits for it.", { time: span(told.retry_after * 1000) }) : t("Somebody is back in {time}.", { time: span(told.retry_after * 1000) })}` : ""}</span></div></div>` : null}
    ${told.attempts.length ? html`<ol class="sheet ranks">${told.attempts.map((attempt) => html`<li key=${attempt.rank}><span class="rank num t3">${attempt.rank}</span>
      <div class="t-who"><span class="strong cut">${attempt.account}</span><span class="sm t3 wrap">${named(attempt.provider)} · <span class="mono">${attempt.model}</span>${attempt.level ? ` · ${t("thinks {level}", { level: attempt.level })}` : ""}</span></div>
      <div class="stack"><span class="t2 sm wrap">${attempt.reason}</span>${attempt.score ? html`<${Points} parts=${attempt.score.parts} most=${most} />` : null}</div>
      <span class="num strong" title=${t("Points: only comparable within this list")}>${attempt.score ? Number(attempt.score.total.toFixed(2)) : ""}</span></li>`)}</ol>` : null}
    ${told.skipped.length ? html`<ul class="sheet ranks left-out" aria-label=${t("Left out")}>${told.skipped.map((skip, i) => html`<li key=${i}><span class="rank"><${Dot} shape="ring" tone="mute" /></span>
      <div class="t-who"><span class="cut">${skip.account}</span><span class="sm t3 wrap">${named(skip.provider)}${skip.model ? html` · <span class="mono">${skip.model}</span>` : null}</span></div>
      <span class="t2 sm wrap">${skip.reason}</span><span class="num t3 sm nowrap">${skip.until ? html`<span>${skip.guess ? parts("about {time}", { time: html`<${In} at=${skip.until} />` }) : html`<${In} at=${skip.until} />`}</span>` : ""}</span></li>`)}</ul>` : null}</div>`;
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
        return setWrong({ body: t("Not valid JSON: {why}", { why: error.message }) });
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
  return html`<section class="section"><div class="section-head"><h2>${t("Explain")}</h2><span class="t3 sm">${t("the router itself answers; nothing is sent")}</span></div>
    <form class="sheet pad form" onSubmit=${ask}>
      <div class="ask"><${TextField} label=${t("Model")} name="model" data-filter placeholder=${t("auto, a model, provider/model, an alias …")} value=${form.model} onInput=${set("model")} error=${wrong.model} /><${Button} kind="primary" type="submit" busy=${busy}>${t("Explain")}<//></div>
      <details class="more"><summary><${Icon} name="chevron-right" size=${14} />${t("Request")}</summary><div class="form">
        <div class="form two"><${Select} label=${t("Format")} name="wire" value=${form.wire} onChange=${set("wire")} options=${WIRES} /><${Select} label=${t("Key")} name="key" value=${form.key} onChange=${set("key")} options=${[["", t("any, without limits")], ...usable.map((key) => [key.id, key.name])]} /></div>
        <${TextField} label=${t("Body")} name="body" area rows="5" optional hint=${t("A request as your program sends it: what it needs (tools, pictures, a large window) counts.")} placeholder='{"messages": [{"role": "user", "content": "Hello"}], "tools": […]}' value=${form.body} onInput=${set("body")} error=${wrong.body} /></div></details>
      ${wrong.form ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong.form}</span></div>` : null}
    </form>${told ? html`<${Answer} told=${told} />` : null}</section>`;
}

export function Routing({ route }) {
  const [config, load] = useConfig();
  return html`<div class="page narrow"><div class="page-head"><h1>${t("Routing")}</h1></div>
    ${!accounts.value.length ? html`<${Empty} icon="corner-down-right" title=${t("Nothing to choose from yet")} action=${html`<${Button} kind="primary" icon="plus" onClick=${() => connect()}>${t("Connect account")}<//>`}>${t("Requests are routed as soon as an account is connected.")}<//>` : html`<${Explain} params=${route.params} />`}
    ${config === null ? html`<${Skeleton} rows=${6} />` : html`<${Strategy} config=${config} onChange=${load} /><${DefaultModel} config=${config} onChange=${load} /><${Names} what="chains" entries=${config.chains} onChange=${load} /><${Names} what="aliases" entries=${config.aliases} onChange=${load} />`}</div>`;
}
