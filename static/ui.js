// The pieces every view is made of. All text goes through Preact's text nodes: names and messages from outside can never become HTML.
import { h, options, render, Fragment } from "./vendor/preact.mjs";
import { useEffect, useId, useRef, useState } from "./vendor/hooks.mjs";
import { signal } from "./vendor/signals.mjs";
import htm from "./vendor/htm.mjs";
import { absolute, ago, exact, ms, num, span, usd } from "./format.js";
import { minute, now } from "./live.js";
import { t, within } from "./texts.js";

export const html = htm.bind(h);

// Characters that turn the direction of what follows: a name from outside could make our words beside it read as other ones. Fields keep them.
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;
const level = (text) => (typeof text === "string" ? text.replace(TURNS, "\ufffd") : text);
const before = options.vnode;
options.vnode = (node) => {
  if (node.type === null) node.props = level(node.props);
  else if (typeof node.type === "string") for (const name of ["title", "aria-label"]) if (node.props[name]) node.props[name] = level(node.props[name]);
  if (before) before(node);
};
export { h, render, Fragment };

// ------------------------------------------------------------------ words: one table for what a state is called and how it looks
const ACCOUNT = {
  ready: [t("Ready"), "ok", "circle"],
  cooling: [t("Cooling"), "warn", "half"],
  locked: [t("Locked"), "warn", "square"],
  needs_login: [t("Needs sign-in"), "bad", "triangle"],
  error: [t("Error"), "bad", "diamond"],
  disabled: [t("Off"), "mute", "ring"],
};
const KEY = {
  active: [t("Active"), "ok", "circle"],
  expired: [t("Expired"), "warn", "half"],
  revoked: [t("Revoked"), "mute", "cross"],
};
const REQUEST = {
  open: [t("In flight"), "accent", "pulse"],
  ok: [t("Answered"), "ok", "circle"],
  failed: [t("Failed"), "bad", "diamond"],
  client_left: [t("Client left"), "mute", "ring"],
  cut: [t("Cut off"), "warn", "half"],
  recovered: [t("Recovered"), "warn", "square"],
};
const JOB = {
  ready: [t("Waiting"), "mute", "ring"],
  running: [t("Running"), "accent", "pulse"],
  done: [t("Done"), "ok", "circle"],
  dead: [t("Gave up"), "bad", "diamond"],
  paused: [t("Paused"), "mute", "square"],
};
export const accountWords = (account) => ACCOUNT[account.status] || [account.status, "mute", "ring"];
export const keyWords = (key) => KEY[key.status] || [key.status, "mute", "ring"];
export const jobWords = (job) => JOB[job.state] || [job.state, "mute", "ring"];
export const requestWords = (row) => (row.state === "open" ? REQUEST.open : REQUEST[row.outcome] || [row.outcome || row.state, "mute", "ring"]);

// ------------------------------------------------------------------ small things
export function Icon({ name, size = 15 }) {
  return html`<svg class="icon" width=${size} height=${size} aria-hidden="true"><use href=${"/static/vendor/lucide.svg#" + name} /></svg>`;
}

const SHAPES = {
  circle: html`<circle cx="5" cy="5" r="4" />`,
  half: html`<g><circle class="hollow" cx="5" cy="5" r="3.5" /><path d="M5 1.500a3.500 3.500 0 0 1 0 7z" /></g>`,
  square: html`<rect x="1.500" y="1.500" width="7" height="7" rx="1" />`,
  triangle: html`<path d="M5 .8 9.400 8.800H.6z" />`,
  diamond: html`<path d="M5 .3 9.700 5 5 9.700.3 5z" />`,
  ring: html`<circle class="hollow" cx="5" cy="5" r="3.500" />`,
  cross: html`<path class="hollow" d="M2 2l6 6M8 2l-6 6" />`,
  pulse: html`<g><circle class="wave" cx="5" cy="5" r="3" /><circle cx="5" cy="5" r="3" /></g>`,
};
export function Dot({ shape, tone }) {
  return html`<svg class=${"dot " + tone} width="10" height="10" viewBox="0 0 10 10" aria-hidden="true">${SHAPES[shape]}</svg>`;
}

/** Dot, word and shape together: a state never speaks by colour alone. */
export function Status({ words, title, quiet }) {
  const [word, tone, shape] = words;
  return html`<span class=${"status " + tone} title=${title || null}><${Dot} shape=${shape} tone=${tone} /><span class=${quiet ? "sr" : ""}>${word}</span></span>`;
}

/** A text of the server's: what stands in backticks is code. */
export const Prose = ({ text }) => text.split("`").map((part, i) => (i % 2 ? html`<code key=${i}>${part}</code>` : part));

/** "3 min" with the exact moment on hover; ticks by itself. With a `suffix` it is "3 min ago". */
export function Ago({ at, suffix = "" }) {
  if (!at) return html`<span class="t4">${t("never")}</span>`;
  const young = Date.now() - at < 95000;
  const text = ago(at, young ? now.value : Math.max(minute.value, at));
  const words = suffix && text !== t("now") ? t("{time} ago", { time: text }) : text;
  return html`<time datetime=${new Date(at).toISOString()} title=${absolute(at)}>${words}</time>`;
}

export function In({ at }) {
  const left = at - (at - Date.now() < 95000 ? now.value : minute.value);
  return html`<time datetime=${new Date(at).toISOString()} title=${absolute(at)}>${left <= 0 ? t("now") : span(left)}</time>`;
}

/** Two letters on a hue of the name: no vendor logos are shipped. */
export function Monogram({ provider, size = 26 }) {
  let hue = 0;
  for (const char of provider.id) hue = (hue * 31 + char.charCodeAt(0)) % 360;
  const letters = provider.label.replace(/[^\p{L}\p{N}]/gu, "").slice(0, 2);
  return html`<span class="mono-mark" aria-hidden="true" style=${{ "--h": String(hue), width: size + "px", height: size + "px" }}>${provider.demo ? html`<${Icon} name="flask-conical" />` : provider.local ? html`<${Icon} name="server" />` : letters}</span>`;
}

export const Num = ({ value, unit }) => html`<span title=${exact(value) + (unit ? " " + unit : "")}>${num(value)}</span>`;
export const Ms = ({ value }) => html`<span class=${value === null || value === undefined ? "t4" : ""} title=${value === null || value === undefined ? null : exact(value) + " ms"}>${ms(value)}</span>`;

export function Cost({ cost }) {
  if (!cost || cost.usd === null || cost.usd === undefined) return html`<span class="t4" title=${t("No price is known for this model. It is not counted as free.")}>${t("unknown")}</span>`;
  return html`<span title=${`$${cost.usd}${cost.source ? " · " + t("price from {source}", { source: cost.source }) : ""}`}>${usd(cost.usd)}</span>`;
}

const QUIET_SOURCES = { stated: t("the provider said so"), guessed: t("our guess"), terminal: t("needs you") };

/** "back in 28 s — the provider said so" */
export function Cooldown({ cooldown }) {
  const scope = cooldown.scope && cooldown.scope.startsWith("model:") ? t("{model} ", { model: cooldown.scope.slice(6) }) : "";
  if (cooldown.source === "terminal") return html`<span class="wrap" title=${cooldown.reason}>${scope}${t("out until you act")}${cooldown.reason ? ": " + cooldown.reason : ""}</span>`;
  const left = cooldown.until - now.value;
  const words = left <= 0 ? t("back now") : cooldown.source === "guessed" ? t("back in about {time}", { time: span(left) }) : t("back in {time}", { time: span(left) });
  return html`<span title=${`${cooldown.reason || ""} · ${t("until {time}", { time: absolute(cooldown.until) })}`}><span class="strong">${scope}${words}</span> <span class="t3">— ${QUIET_SOURCES[cooldown.source] || cooldown.source}</span></span>`;
}

const BEATS = 40;
const bar = (index, y) => `M${index * 4} ${y}h3v${18 - 2 * y}h-3z`; // Centred on the line, `y` away from its edges.

/** The last forty attempts, oldest left. Failures are taller as well as red; grey places wait for attempts to come. */
export function Heartbeat({ beats = [], name }) {
  const last = [...beats].sort((a, b) => a.at - b.at).slice(-BEATS);
  const shift = BEATS - last.length;
  let good = "", bad = "", none = "";
  for (let i = 0; i < shift; i++) none += bar(i, 7);
  last.forEach((beat, i) => (beat.ok ? (good += bar(i + shift, 3)) : (bad += bar(i + shift, 0))));
  const failed = last.filter((beat) => !beat.ok).length;
  const label = last.length ? `${name ? name + ": " : ""}${t("{failed} of the last {all} attempts failed", { failed, all: last.length })}` : t("No attempts yet");
  const tell = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const beat = last[Math.floor(((event.clientX - box.left) / box.width) * BEATS) - shift];
    const text = beat ? `${absolute(beat.at)} · ${beat.ok ? ms(beat.ms) : beat.flag || t("failed")}` : label;
    if (event.currentTarget.title !== text) event.currentTarget.title = text;
  };
  return html`<span class="beats" role="img" aria-label=${label} title=${label} onMouseMove=${tell}>
    <svg viewBox="0 0 159 18" width="159" height="18" preserveAspectRatio="none" aria-hidden="true">
      <path class="none" d=${none} /><path class="good" d=${good} /><path class="fail" d=${bad} />
    </svg></span>`;
}

// ------------------------------------------------------------------ buttons and fields
const wait = (event) => event.preventDefault();

/** A busy one keeps the focus that it has: a button that is switched off would lose it. */
export function Button({ icon, kind = "", small, busy, label, children, ...rest }) {
  return html`<button type="button" ...${rest} onClick=${busy ? wait : rest.onClick} class=${`btn ${kind} ${small ? "small" : ""} ${busy ? "busy" : ""} ${children ? "" : "bare"} ${rest.class || ""}`}
    aria-label=${label || null} title=${rest.title || label || null} disabled=${rest.disabled} aria-disabled=${busy ? "true" : null} aria-busy=${busy ? "true" : null}>
    ${icon ? html`<${Icon} name=${icon} size=${small ? 14 : 15} />` : null}${children ? html`<span>${children}</span>` : null}</button>`;
}

export function Switch({ on, label, onChange, disabled }) {
  return html`<button type="button" class="switch" role="switch" aria-checked=${String(!!on)} aria-label=${label} title=${label} disabled=${disabled}
    onClick=${(event) => { event.stopPropagation(); onChange(!on); }}><i /></button>`;
}

/** A labelled control. `children` is a function of the id and the description's id. */
export function Field({ label, hint, error, optional, children }) {
  const id = useId();
  const note = error || hint;
  return html`<div class=${"field" + (error ? " wrong" : "")}>
    <label for=${id}>${label}${optional ? html` <span class="t4">${t("optional")}</span>` : null}</label>
    ${children(id, note ? id + "-note" : null)}
    ${note ? html`<div class="note" id=${id + "-note"} role=${error ? "alert" : null}>${note}</div>` : null}</div>`;
}

export function TextField({ label, hint, error, optional, value, onInput, area, secret, ...rest }) {
  const tag = area ? "textarea" : "input";
  const guard = secret ? { type: "password", autocomplete: "off", "data-1p-ignore": true, "data-lpignore": "true" } : {};
  return html`<${Field} label=${label} hint=${hint} error=${error} optional=${optional}>${(id, note) => html`<${tag} id=${id} class="input" aria-describedby=${note}
    aria-invalid=${error ? "true" : null} spellcheck=${false} autocapitalize="off" value=${value} onInput=${(event) => onInput(event.currentTarget.value)} ...${guard} ...${rest} />`}<//>`;
}

export function Select({ label, hint, error, value, onChange, options, ...rest }) {
  return html`<${Field} label=${label} hint=${hint} error=${error}>${(id, note) => html`<select id=${id} class="input" aria-describedby=${note} aria-invalid=${error ? "true" : null} value=${value} onChange=${(event) => onChange(event.currentTarget.value)} ...${rest}>
    ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}</select>`}<//>`;
}

async function toClipboard(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // Plain http on a LAN address has no clipboard API.
  area.value = text;
  area.className = "sr";
  (document.querySelector("dialog[open]") || document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error(t("The browser refused to copy."));
}

export async function copy(text, what) {
  try {
    await toClipboard(text);
    toast(t("{what} copied.", { what }), { tone: "ok" });
  } catch {
    toast(t("The browser refused to copy: select the text and copy it by hand."), { tone: "bad" });
  }
}

export function Copy({ text, what = t("Text"), small = true, kind = "ghost", children }) {
  const [done, setDone] = useState(false);
  const press = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    try {
      await toClipboard(typeof text === "function" ? text() : text);
      setDone(true);
      announce.value = t("{what} copied.", { what });
      setTimeout(() => setDone(false), 1600);
    } catch {
      toast(t("The browser refused to copy: select the text and copy it by hand."), { tone: "bad" });
    }
  };
  return html`<${Button} icon=${done ? "check" : "copy"} small=${small} kind=${kind + (done ? " done" : "")} label=${children ? null : t("Copy {what}", { what: within(what) })} onClick=${press}>${children && (done ? t("Copied") : children)}<//>`;
}

export function Empty({ icon, title, children, action }) {
  return html`<div class="empty">${icon ? html`<${Icon} name=${icon} size=${20} />` : null}<div class="strong">${title}</div>${children ? html`<p class="t3">${children}</p>` : null}${action || null}</div>`;
}

export function Skeleton({ rows = 4 }) {
  return html`<div class="skeleton" aria-hidden="true">${Array.from({ length: rows }, (_, i) => html`<i key=${i} style=${{ width: `${92 - ((i * 17) % 40)}%` }} />`)}</div>`;
}

// ------------------------------------------------------------------ dialogs
/** What is open on top of the page: null or {kind, …}. `app.js` draws it. */
export const dialog = signal(null);
export const openDialog = (kind, props = {}) => (dialog.value = { kind, ...props });
export const closeDialog = () => (dialog.value = null);

export function Dialog({ title, sub, onClose, width = 520, dirty, children, notice, foot, locked }) {
  const ref = useRef(null);
  const titleId = useId();
  useEffect(() => {
    const node = ref.current;
    const back = document.activeElement;
    node.showModal();
    if (document.activeElement && document.activeElement.closest("header")) {
      // Nobody comes to press Close: the first field or link is where work begins, else the text itself.
      const first = node.querySelector(".dialog-body :is(input, select, textarea, a[href], button, summary):not(:disabled)") || node.querySelector("footer .primary:not(:disabled)");
      (first || node.querySelector("h2")).focus();
    }
    return () => {
      node.close();
      if (back && back.isConnected) back.focus();
    };
  }, []);
  const leave = (event) => {
    event.preventDefault();
    if (!locked) onClose();
  };
  const outside = (event) => {
    if (event.target === ref.current && !dirty && !locked) onClose();
  };
  return html`<dialog ref=${ref} aria-labelledby=${titleId} style=${{ width: `min(${width}px, calc(100vw - 24px))` }} onCancel=${leave} onMouseDown=${outside}>
    <div class="dialog">
      <header><div class="grow"><h2 id=${titleId} tabindex="-1">${title}</h2>${sub ? html`<p class="t3 sm">${sub}</p>` : null}</div>
        ${locked ? null : html`<${Button} icon="x" kind="ghost" label=${t("Close")} onClick=${onClose} />`}</header>
      <div class="dialog-body">${children}</div>
      ${notice ? html`<div class="dialog-notice">${notice}</div>` : null}
      ${foot ? html`<footer>${foot}</footer>` : null}
    </div></dialog>`;
}

export function Confirm({ title, body, action, danger, onYes }) {
  return html`<${Dialog} title=${title} width=${420} onClose=${closeDialog}
    foot=${html`<span class="grow" /><${Button} onClick=${closeDialog}>${t("Cancel")}<//><${Button} kind=${danger ? "danger" : "primary"} autofocus onClick=${() => { closeDialog(); onYes(); }}>${action}<//>`}>
    <p class="t2">${body}</p><//>`;
}
export const confirm = (props) => openDialog("confirm", props);

// ------------------------------------------------------------------ toasts
const toasts = signal([]);
const announce = signal("");
let toastId = 0;

/** A short message at the bottom. `action` = {label, run}; returns a function that takes the toast away. */
export function toast(text, { tone = "", action = null, life = 4000 } = {}) {
  const id = ++toastId;
  const drop = () => (toasts.value = toasts.value.filter((item) => item.id !== id));
  toasts.value = [...toasts.value.slice(-3), { id, text, tone, action, drop, life }];
  if (life) setTimeout(drop, life);
  return drop;
}
export const oops = (error) => toast(error.message || String(error), { tone: "bad", life: 8000 });

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">
    ${toasts.value.map((item) => html`<div key=${item.id} class=${"toast " + item.tone}>
      ${item.tone ? html`<${Icon} name=${item.tone === "ok" ? "circle-check" : "circle-alert"} />` : null}<span class="wrap">${item.text}</span>
      ${item.action ? html`<${Button} small kind="link" onClick=${() => { item.drop(); item.action.run(); }}>${item.action.label}<//>` : null}
      ${item.action ? html`<i class="fuse" style=${{ animationDuration: item.life + "ms" }} />` : null}</div>`)}
    <span class="sr">${announce.value}</span></div>`;
}

// ------------------------------------------------------------------ code
/** Tabs over texts that are ready to paste: [[id, label, text, note?]]. */
export function Snippets({ items, label }) {
  const [picked, pick] = useState(items[0][0]);
  const base = useId();
  const at = Math.max(0, items.findIndex(([id]) => id === picked));
  const [, title, text, note] = items[at];
  const walk = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = items[(at + step + items.length) % items.length][0];
    pick(next);
    document.getElementById(`${base}-${next}`).focus();
  };
  return html`<div class="snippets">
    <div class="snippet-tabs"><div role="tablist" aria-label=${label} onKeyDown=${walk}>${items.map(([id, name]) => html`<button type="button" role="tab" key=${id} id=${`${base}-${id}`}
      aria-selected=${String(id === items[at][0])} aria-controls=${base + "-panel"} tabindex=${id === items[at][0] ? 0 : -1} onClick=${() => pick(id)}>${name}</button>`)}</div>
      <${Copy} text=${text} what=${t("{title} snippet", { title })} /></div>
    <pre id=${base + "-panel"} role="tabpanel" tabindex="0" aria-label=${title}>${text}</pre>
    ${note ? html`<p class="note">${note}</p>` : null}</div>`;
}
