// What the larger views share and the first page does not need: their style sheet, choices as a row of words, a countdown.
import { useId } from "./vendor/hooks.mjs";
import { absolute } from "./format.js";
import { minute, now } from "./live.js";
import { t } from "./texts.js";
import { html } from "./ui.js";

const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const sheets = new Map(); // address → the promise of a style sheet that is there, or that will not come.

/** For `await` at the top of a view: its styles are there when it is drawn. One that does not come leaves the view plain, not missing. */
export function style(address) {
  if (!sheets.has(address)) {
    sheets.set(address, new Promise((done) => {
      const sheet = document.createElement("link");
      sheet.rel = "stylesheet";
      sheet.href = address;
      sheet.onload = sheet.onerror = done;
      document.head.append(sheet);
    }));
  }
  return sheets.get(address);
}

/** One of a few words: `options` are [[value, words]]. One stop for the Tab key, arrows change the choice. */
export function Segments({ label, value, options, onChange }) {
  const base = useId();
  const walk = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = options.findIndex(([one]) => one === value);
    const [next] = options[(at + step + options.length) % options.length];
    onChange(next);
    document.getElementById(`${base}-${next}`).focus();
  };
  return html`<div class="segments words" role="radiogroup" aria-label=${label} onKeyDown=${walk}>${options.map(([one, words]) => html`<button type="button" key=${one} id=${`${base}-${one}`} role="radio" aria-checked=${String(one === value)} tabindex=${one === value ? 0 : -1} onClick=${() => onChange(one)}>${words}</button>`)}</div>`;
}

/** "34 s", "12 min", "2 h 14 min", "4 d 6 h" */
export function left(milliseconds) {
  if (milliseconds <= 0) return t("now");
  if (milliseconds < 95_000) return t("{n} s", { n: Math.round(milliseconds / 1000) });
  if (milliseconds < HOUR) return t("{n} min", { n: Math.round(milliseconds / MINUTE) });
  const d = Math.floor(milliseconds / DAY), h = Math.floor((milliseconds % DAY) / HOUR), min = Math.floor((milliseconds % HOUR) / MINUTE);
  return [d && t("{n} d", { n: d }), h && t("{n} h", { n: h }), !d && min && t("{n} min", { n: min })].filter(Boolean).join(" ");
}

/** Counts down by itself; the exact moment on hover. */
export function Countdown({ at }) {
  const clock = at - Date.now() < 95_000 ? now.value : Math.max(minute.value, Date.now() - 20_000);
  return html`<time datetime=${new Date(at).toISOString()} title=${absolute(at)}>${left(at - clock)}</time>`;
}
