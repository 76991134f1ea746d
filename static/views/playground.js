// Chat with any model through /v1, as a program would: streamed, with pictures and thinking, the route taken and what it cost; two models side by side.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { signal } from "../vendor/signals.mjs";
import { connect } from "../actions.js";
import { get } from "../api.js";
import { ask } from "../chatting.js";
import { exact, ms, num, usd } from "../format.js";
import { ready, requests, resync, shownAccounts } from "../live.js";
import { Markdown } from "../markdown.js";
import { style } from "../pieces.js";
import { counted, t, within } from "../texts.js";
import { Button, Copy, Dot, Empty, html, Icon, oops, Select, Skeleton, TextField, toast } from "../ui.js";

await style("/static/css/late.css");

const MOST_PICTURES = 4;
const MOST_BYTES = 8 << 20;
const EFFORTS = [["", t("As the model does")], ["none", t("None")], ["low", t("Low")], ["medium", t("Medium")], ["high", t("High")]];
const BOTTOM = 120; // Nearer to the end than this, the page follows what is written.

/** Lives as long as the page: leaving the view loses nothing. A turn: {role, text, pictures} or an answer {role, text, thought, head, usage, ms, first, error, stopped, busy}. */
const lanes = signal([{ id: 1, model: "auto", turns: [] }]);
const form = signal({ system: "", effort: "", own: false, key: "" });
const running = new Map(); // lane's id → AbortController

// ------------------------------------------------------------------ asking
const change = (id, how) => (lanes.value = lanes.value.map((lane) => (lane.id === id ? how(lane) : lane)));

const content = (turn) => (turn.pictures && turn.pictures.length ? [{ type: "text", text: turn.text }, ...turn.pictures.map((one) => ({ type: "image_url", image_url: { url: one.url } }))] : turn.text);

function messagesOf(turns) {
  const said = turns.filter((turn) => turn.role === "user" || (turn.text && !turn.error)).map((turn) => ({ role: turn.role, content: content(turn) }));
  return form.value.system.trim() ? [{ role: "system", content: form.value.system }, ...said] : said;
}

/** Answers the last question of a lane. What arrives is drawn once a frame. */
async function answer(id) {
  const lane = lanes.value.find((one) => one.id === id);
  const stop = new AbortController();
  running.set(id, stop);
  const began = performance.now();
  const turn = { role: "assistant", text: "", thought: "", head: null, usage: null, first: null, busy: true };
  let frame = 0;
  const draw = () => {
    frame = 0;
    // A conversation that was begun anew meanwhile has no place for it.
    change(id, (one) => (one.turns.includes(lane.turns.at(-1)) ? { ...one, turns: [...lane.turns, { ...turn }] } : one));
  };
  const soon = () => (frame = frame || requestAnimationFrame(draw));
  const tell = (news) => {
    if (news.head) turn.head = news.head;
    if (news.usage) turn.usage = news.usage;
    if ((news.text || news.thought) && turn.first === null) turn.first = performance.now() - began;
    turn.text += news.text || "";
    turn.thought += news.thought || "";
    soon();
  };
  draw();
  try {
    await ask({ key: form.value.own ? form.value.key.trim() : "", model: lane.model.trim() || "auto", messages: messagesOf(lane.turns), effort: form.value.effort, signal: stop.signal, tell });
  } catch (error) {
    if (error.name === "AbortError") turn.stopped = true;
    else turn.error = error instanceof TypeError ? t("The server does not answer.") : error.message;
  }
  cancelAnimationFrame(frame);
  running.delete(id);
  turn.busy = false;
  turn.ms = performance.now() - began;
  draw();
}

function askAll(text, pictures) {
  lanes.value = lanes.value.map((lane) => ({ ...lane, turns: [...lane.turns, { role: "user", text, pictures }] }));
  for (const lane of lanes.value) answer(lane.id);
}

function again(id) {
  change(id, (lane) => ({ ...lane, turns: lane.turns.slice(0, lane.turns.findLastIndex((turn) => turn.role === "user") + 1) }));
  answer(id);
}

const stopAll = () => running.forEach((stop) => stop.abort());

function compare(on) {
  stopAll();
  const [first] = lanes.value;
  lanes.value = on ? [first, { id: first.id + 1, model: "", turns: first.turns.filter((turn) => !turn.busy) }] : [first];
}

function clear() {
  stopAll();
  lanes.value = lanes.value.map((lane) => ({ ...lane, turns: [] }));
}

// ------------------------------------------------------------------ one turn
/** What the books say of it, once they do; else what the answer itself said. */
function useRow(turn) {
  const id = turn.head && turn.head.id;
  const live = requests.value.find((row) => row.id === id && row.state === "settled");
  const [fetched, setFetched] = useState(null);
  useEffect(() => {
    if (turn.busy || !id || live) return undefined;
    const timer = setTimeout(() => get(`/api/requests/${encodeURIComponent(id)}`).then(setFetched, () => {}), 1200); // Without it, the cost is not shown: nothing else is missing.
    return () => clearTimeout(timer);
  }, [turn.busy, id, !live]);
  return live || fetched;
}

function Way({ turn }) {
  const row = useRow(turn);
  const { head, usage } = turn;
  if (!head) return null;
  const tokens = usage && html`<span title=${t("Tokens read → written")}>${num(usage.prompt_tokens)} <span class="t4">→</span> ${num(usage.completion_tokens)} ${t("tokens")}</span>`;
  const cost = row && row.cost ? (row.cost.usd === null ? html`<span title=${t("No price is known. It is not counted as free.")}>${t("price unknown")}</span>` : html`<span title=${`$${row.cost.usd}${row.cost.source ? " · " + t("price from {source}", { source: row.cost.source }) : ""}`}>${usd(row.cost.usd)}${row.cost.worth_usd && Number(row.cost.worth_usd) ? " " + t("(worth {usd})", { usd: usd(row.cost.worth_usd) }) : ""}</span>`) : null;
  return html`<div class="way sm t3">
    ${head.account ? html`<span class="t2"><${Icon} name="corner-down-right" size=${12} /> ${head.account}${head.model ? html` <span class="mono xs">${head.model}</span>` : null}</span>` : null}
    ${turn.first !== null && turn.first !== undefined ? html`<span title=${t("Until the first word, and in all")}>${ms(turn.first)}${turn.ms ? html` <span class="t4">/</span> ${ms(turn.ms)}` : null}</span>` : null}
    ${tokens}${cost}${head.id ? html`<a class="link" href=${"#/activity/" + encodeURIComponent(head.id)}>${t("why")}</a>` : null}
    ${head.route ? html`<span class="way-route t4 wrap" title="x-omni-route">${head.route}</span>` : null}
    ${head.dropped ? html`<span class="way-route warn wrap">${t("left out: {what}", { what: head.dropped })}</span>` : null}</div>`;
}

function Thought({ turn }) {
  if (!turn.thought) return null;
  return html`<details class="more thought"><summary><${Icon} name="chevron-right" size=${14} />${turn.busy && !turn.text ? t("Thinking …") : t("Thinking")}<span class="t4">${t("{n} letters", { n: exact(turn.thought.length) })}</span></summary><div class="thought-text wrap t2">${turn.thought}</div></details>`;
}

function Answer({ turn, lane, last }) {
  return html`<div class="turn answer">
    <${Thought} turn=${turn} />
    ${turn.text ? html`<${Markdown} text=${turn.text} />` : turn.busy && !turn.thought ? html`<span class="t3 writing"><i /><i /><i /><span class="sr">${t("Waiting for the answer")}</span></span>` : null}
    ${turn.error ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${turn.error}</span></div>` : null}
    ${turn.stopped ? html`<p class="sm t3">${t("Stopped by you.")}</p>` : null}
    <div class="turn-foot"><${Way} turn=${turn} />${turn.busy ? null : html`<span class="row-actions">${turn.text ? html`<${Copy} text=${turn.text} what=${t("Answer")} />` : null}${last ? html`<${Button} small kind="ghost" icon="rotate-cw" label=${t("Ask again")} onClick=${() => again(lane.id)} />` : null}</span>`}</div></div>`;
}

function Question({ turn }) {
  return html`<div class="turn question"><span class="sr">${t("You:")} </span>${turn.pictures.length ? html`<div class="thumbs">${turn.pictures.map((one, i) => html`<img key=${i} src=${one.url} alt=${one.name} />`)}</div>` : null}<div class="wrap said">${turn.text}</div></div>`;
}

// ------------------------------------------------------------------ a lane
function Lane({ lane, names, alone }) {
  const place = lanes.value.indexOf(lane);
  const label = alone ? t("Model") : place === 0 ? t("First model") : t("Second model");
  return html`<section class="lane" aria-label=${alone ? t("Conversation") : t("Conversation with the {model}", { model: within(label) })}>
    <label class="lane-model"><${Icon} name="box" size=${14} /><span class="sr">${label}</span><input class="input" list="playground-models" name=${"model-" + place} placeholder=${alone ? "auto" : t("Which model?")} spellcheck=${false} autocomplete="off" value=${lane.model} onInput=${(event) => { const model = event.currentTarget.value; change(lane.id, (one) => ({ ...one, model })); }} /></label>
    <div class="turns" role="log" aria-live="polite" aria-busy=${String(lane.turns.some((turn) => turn.busy))}>${lane.turns.length ? lane.turns.map((turn, i) => (turn.role === "user" ? html`<${Question} key=${i} turn=${turn} />` : html`<${Answer} key=${i} turn=${turn} lane=${lane} last=${i === lane.turns.length - 1} />`))
    : html`<${Empty} icon="message-square" title=${alone ? t("Ask anything") : t("The same question goes to both")}>${alone ? counted(names.length, "It goes through /v1 like a program's: routed, limited and booked. {n} name can be asked for.", "It goes through /v1 like a program's: routed, limited and booked. {n} names can be asked for.") : t("Choose two models, and ask.")}<//>`}</div></section>`;
}

// ------------------------------------------------------------------ what is typed
function pictured(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done({ name: file.name || t("picture"), url: reader.result });
    reader.onerror = () => failed(new Error(t("{name} cannot be read.", { name: file.name })));
    reader.readAsDataURL(file);
  });
}

function Composer({ busy }) {
  const [text, setText] = useState("");
  const [pictures, setPictures] = useState([]);
  const field = useRef(null), chooser = useRef(null);
  const add = async (files) => {
    const wanted = [...files].filter((file) => file.type.startsWith("image/"));
    if (wanted.some((file) => file.size > MOST_BYTES)) toast(t("A picture may have 8 MiB."), { tone: "bad" });
    try {
      const read = await Promise.all(wanted.filter((file) => file.size <= MOST_BYTES).map(pictured));
      setPictures((list) => [...list, ...read].slice(0, MOST_PICTURES));
    } catch (error) {
      oops(error);
    }
  };
  const send = (event) => {
    event.preventDefault();
    if (busy || (!text.trim() && !pictures.length)) return;
    if (form.value.own && !form.value.key.trim()) return toast(t("Paste the key first, or let one be made."), { tone: "warn" });
    if (lanes.value.some((lane, i) => i && !lane.model.trim())) return toast(t("Choose the second model first."), { tone: "warn" });
    askAll(text.trim(), pictures);
    setText("");
    setPictures([]);
    field.current.focus();
  };
  const onKey = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
  };
  const onPaste = (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) {
      event.preventDefault();
      add(files);
    }
  };
  return html`<form class="composer" onSubmit=${send} onDragOver=${(event) => event.preventDefault()} onDrop=${(event) => { event.preventDefault(); add(event.dataTransfer.files); }}>
    ${pictures.length ? html`<div class="thumbs">${pictures.map((one, i) => html`<span class="thumb" key=${i}><img src=${one.url} alt=${one.name} /><button type="button" aria-label=${t("Take {name} out", { name: one.name })} onClick=${() => setPictures(pictures.filter((_, other) => other !== i))}><${Icon} name="x" size=${11} /></button></span>`)}</div>` : null}
    <label class="sr" for="playground-text">${t("Message")}</label>
    <textarea id="playground-text" ref=${field} data-filter rows="2" placeholder=${t("Ask the model. Enter sends, Shift-Enter begins a line.")} value=${text} onInput=${(event) => setText(event.currentTarget.value)} onKeyDown=${onKey} onPaste=${onPaste} />
    <div class="composer-row"><input type="file" class="sr" tabindex="-1" aria-hidden="true" accept="image/*" multiple ref=${chooser} onChange=${(event) => { add(event.currentTarget.files); event.currentTarget.value = ""; }} />
      <${Button} small kind="ghost" icon="image" disabled=${pictures.length >= MOST_PICTURES} label=${t("Add a picture")} onClick=${() => chooser.current.click()} /><span class="grow" />
      ${busy ? html`<${Button} icon="square" onClick=${stopAll}>${t("Stop")}<//>` : html`<${Button} kind="primary" type="submit" icon="arrow-up" disabled=${!text.trim() && !pictures.length}>${t("Send")}<//>`}</div></form>`;
}

function Options() {
  const set = (more) => (form.value = { ...form.value, ...more });
  const { system, effort, own, key } = form.value;
  const chosen = [system.trim() && t("system prompt"), effort && t("thinking {effort}", { effort }), own && t("your key")].filter(Boolean);
  return html`<details class="more play-options"><summary><${Icon} name="chevron-right" size=${14} />${t("Options")}${chosen.length ? html`<span class="t2">${chosen.join(t(", "))}</span>` : null}</summary><div class="form">
    <${TextField} label=${t("System prompt")} name="system" area rows="3" optional value=${system} onInput=${(value) => set({ system: value })} />
    <div class="form two"><${Select} label=${t("Thinking")} name="effort" value=${effort} onChange=${(value) => set({ effort: value })} options=${EFFORTS} />
      <${Select} label=${t("Key")} name="whose" value=${own ? "own" : ""} onChange=${(value) => set({ own: value === "own", key: "" })} options=${[["", t("One made for an hour")], ["own", t("A key of yours")]]} hint=${own ? null : t("It stays in this page's memory; the books name it.")} /></div>
    ${own ? html`<${TextField} label=${t("Your key")} name="key" secret placeholder="omni-…" value=${key} onInput=${(value) => set({ key: value })} hint=${t("Its limits and models hold. It is kept in this page's memory only.")} />` : null}</div></details>`;
}

/** "auto", names you gave, and every model that an account serves. */
function useNames() {
  const [given, setGiven] = useState([]);
  useEffect(() => {
    get("/api/config").then((data) => setGiven([...Object.keys(data.aliases), ...Object.keys(data.chains)]), () => setGiven([])); // The models are there without them.
  }, [resync.value]);
  const served = shownAccounts.value.filter((account) => account.enabled).flatMap((account) => (account.serves && account.serves.length ? account.serves : [...(account.models || []), ...(account.discovered || [])]));
  return [...new Set(["auto", ...given, ...served])];
}

export function Playground({ route }) {
  const names = useNames();
  const list = lanes.value;
  const busy = list.some((lane) => lane.turns.some((turn) => turn.busy));
  const wanted = route.params.model;
  useEffect(() => {
    if (wanted) change(lanes.value[0].id, (lane) => ({ ...lane, model: wanted }));
  }, [wanted]);
  const wasNear = useRef(true);
  useEffect(() => {
    const look = () => (wasNear.current = document.documentElement.scrollHeight - innerHeight - scrollY < BOTTOM);
    window.addEventListener("scroll", look, { passive: true });
    return () => window.removeEventListener("scroll", look);
  }, []);
  useEffect(() => {
    if (busy && wasNear.current) scrollTo({ top: document.documentElement.scrollHeight });
  }, [list]);
  const two = list.length > 1;
  const began = list.some((lane) => lane.turns.length);
  return html`<div class=${"page playground" + (two ? " compared" : "")}>
    <div class="page-head"><h1>${t("Playground")}</h1><div class="actions">${began ? html`<${Button} kind="ghost" icon="plus" onClick=${clear}>${t("New")}<//>` : null}<${Button} icon="columns-2" aria-pressed=${String(two)} class=${two ? "on" : ""} onClick=${() => compare(!two)}>${two ? t("One model") : t("Compare two")}<//></div></div>
    ${!ready.value ? html`<${Skeleton} rows=${6} />` : !shownAccounts.value.length ? html`<${Empty} icon="message-square" title=${t("No model to talk to yet")} action=${html`<${Button} kind="primary" icon="plus" onClick=${() => connect()}>${t("Connect account")}<//>`}>${t("Connect an account, or the demo provider, which needs no key.")}<//>`
    : html`<datalist id="playground-models">${names.map((name) => html`<option key=${name} value=${name} />`)}</datalist>
      <${Options} />
      <div class="lanes">${list.map((lane) => html`<${Lane} key=${lane.id} lane=${lane} names=${names} alone=${!two} />`)}</div>
      <${Composer} busy=${busy} />`}
  </div>`;
}
