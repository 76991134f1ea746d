// The command palette: every view, every account, key and model by name, and what is done often. Things first, pages second.
import { useEffect, useId, useMemo, useRef, useState } from "../vendor/hooks.mjs";
import { clearCooldown, connect, createKey, edit, setEnabled, test } from "../actions.js";
import { keys, providersById, requests, shownAccounts } from "../live.js";
import { style } from "../pieces.js";
import { go } from "../route.js";
import { language, LANGUAGES } from "../language.js";
import { said, t } from "../texts.js";
import { closeDialog, copy, html, Icon, openDialog } from "../ui.js";

await style("/static/css/late.css");

const SHOWN = 40;
const KIND = { account: t("Account"), key: t("Key"), model: t("Model"), page: t("Go to"), do: t("Do") };
const PER_KIND = 6; // Of each kind, while nothing is typed or much fits.

/** How well a text fits what is typed: 0 not at all. The beginning of a word counts most, scattered letters least. */
export function fit(text, needle) {
  const name = text.toLowerCase();
  const at = name.indexOf(needle);
  if (at === 0) return 100 - Math.min(30, name.length - needle.length);
  if (at > 0) return (/[\s/:._-]/.test(name[at - 1]) ? 70 : 45) - Math.min(20, at / 2);
  let from = 0;
  for (const letter of needle) {
    const next = name.indexOf(letter, from);
    if (next < 0) return 0;
    from = next + 1;
  }
  return Math.max(1, 20 - (from - needle.length));
}

const score = (item, needles) => {
  let sum = 0;
  for (const needle of needles) {
    const best = Math.max(fit(item.title, needle), 0.6 * fit(`${KIND[item.kind]} ${item.hint || ""} ${item.words || ""}`, needle));
    if (best < 8) return 0;
    sum += best;
  }
  return sum + item.lead;
};

function accountItems(account) {
  const provider = providersById.value.get(account.provider);
  const hint = provider ? said(provider.label) : account.provider;
  const item = (title, icon, run, lead) => ({ kind: "account", title, hint, icon, run, lead });
  const more = [item(t("Test {name}", { name: account.label }), "zap", () => test(account), 0), item(account.enabled ? t("Switch off {name}", { name: account.label }) : t("Switch on {name}", { name: account.label }), "power", () => setEnabled(account, !account.enabled), 0), item(t("Requests of {name}", { name: account.label }), "activity", () => go(`activity?account=${encodeURIComponent(account.id)}`), 0)];
  if (account.cooldown) more.push(item(t("Clear cooldown of {name}", { name: account.label }), "play", () => clearCooldown(account), 0));
  return [item(account.label, "plug", () => edit(account), 12), ...more];
}

function keyItems(key) {
  const item = (title, icon, run, lead) => ({ kind: "key", title, hint: key.hint, icon, run, lead });
  return [item(key.name, "key-round", () => openDialog("edit-key", { id: key.id }), 10), item(t("Requests with {name}", { name: key.name }), "activity", () => go(`activity?key=${encodeURIComponent(key.id)}`), 0)];
}

function modelNames() {
  const names = new Set();
  for (const account of shownAccounts.value) for (const list of [account.models, account.discovered, account.serves]) for (const name of list || []) names.add(name);
  return [...names].sort();
}

const modelItems = (name) => [
  { kind: "model", title: name, hint: t("copy the name"), icon: "box", lead: 8, run: () => copy(name, name) },
  { kind: "model", title: t("Try {name}", { name }), hint: t("playground"), icon: "message-square", lead: 0, run: () => go(`playground?model=${encodeURIComponent(name)}`) },
];

const action = (title, icon, run, words = "") => ({ kind: "do", title, icon, run, words, lead: 6 });

/** All there is. `views`: [name, words, icon, key] of the shell; `setTheme` and `speak` are the shell's. */
function everything({ views, setTheme, speak }) {
  const last = requests.value[0];
  return [
    ...shownAccounts.value.flatMap(accountItems),
    ...keys.value.filter((key) => key.status === "active").flatMap(keyItems),
    ...modelNames().flatMap(modelItems),
    ...views.map(([name, words, icon, key]) => ({ kind: "page", title: words, hint: `g ${key}`, words: name, icon, lead: 9, run: () => go(name) })),
    action(t("Connect an account"), "plus", () => connect(), "add provider sign in"),
    action(t("Create a key"), "key-round", createKey, "new client"),
    action(t("Set a limit"), "wallet", () => openDialog("edit-limit", {}), "budget spend rpm"),
    action(t("Set a price"), "tag", () => openDialog("edit-price", {}), "cost"),
    action(t("Set up a program"), "app-window", () => go("clients"), "claude code codex cursor install"),
    action(t("Import accounts from a file"), "download", () => openDialog("import-file"), "upload restore"),
    ...(last ? [action(t("Open the newest request"), "arrow-right", () => go(`activity/${encodeURIComponent(last.id)}`), "last")] : []),
    action(t("Failed requests"), "circle-alert", () => go("activity?status=failed"), "errors"),
    action(t("Light theme"), "sun", () => setTheme("light"), "bright"), action(t("Dark theme"), "moon", () => setTheme("dark"), "night"), action(t("Theme of the system"), "monitor", () => setTheme("system"), "auto"),
    ...LANGUAGES.filter(([code]) => code !== language).map(([code, name]) => action(t("Language: {name}", { name }), "message-square", () => speak(code), `language ${code} english chinese 语言 中文`)),
    action(t("Keyboard shortcuts"), "keyboard", () => openDialog("help"), "help"),
  ];
}

function found(all, text) {
  const needles = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!needles.length) {
    const few = new Map();
    return all.filter((item) => {
      if (!item.lead) return false;
      few.set(item.kind, (few.get(item.kind) || 0) + 1);
      return item.kind === "page" || item.kind === "do" || few.get(item.kind) <= (item.kind === "model" ? 3 : PER_KIND);
    });
  }
  return all.map((item) => [score(item, needles), item]).filter(([points]) => points > 0).sort((a, b) => b[0] - a[0]).slice(0, SHOWN).map(([, item]) => item);
}

export function Palette(shell) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const dialog = useRef(null), field = useRef(null), list = useRef(null);
  const base = useId();
  const all = useMemo(() => everything(shell), []); // What it offers stays put while it is open.
  const shown = useMemo(() => found(all, text), [text]);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    field.current.focus();
    return () => {
      if (before && before.isConnected) before.focus();
    };
  }, []);
  useEffect(() => {
    const row = list.current && list.current.querySelector("[aria-selected=true]");
    if (row) row.scrollIntoView({ block: "nearest" });
  }, [at, text]);
  const run = (item) => {
    closeDialog();
    queueMicrotask(item.run); // After this one is gone: it may open another.
  };
  const onKey = (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (event.isComposing) return;
    if (event.key === "Enter" && shown[at]) {
      event.preventDefault();
      run(shown[at]);
    } else if (event.key in steps && shown.length) {
      event.preventDefault();
      const step = steps[event.key];
      setAt(Math.abs(step) === 1 ? (at + step + shown.length) % shown.length : Math.min(shown.length - 1, Math.max(0, at + step)));
    }
  };
  const type = (event) => {
    setText(event.currentTarget.value);
    setAt(0);
  };
  return html`<dialog ref=${dialog} class="palette" aria-label=${t("Command palette")} onCancel=${(event) => { event.preventDefault(); closeDialog(); }} onMouseDown=${(event) => event.target === dialog.current && closeDialog()}>
    <div class="palette-box"><label class="palette-field"><${Icon} name="search" size=${16} /><span class="sr">${t("Search accounts, keys, models, pages and actions")}</span>
      <input ref=${field} type="text" role="combobox" aria-expanded="true" aria-autocomplete="list" aria-controls=${base} aria-activedescendant=${shown[at] ? `${base}-${at}` : null} spellcheck=${false} autocomplete="off" placeholder=${t("Account, key, model, page or action")} value=${text} onInput=${type} onKeyDown=${onKey} /><kbd>Esc</kbd></label>
      <div id=${base} class="palette-list" role="listbox" aria-label=${t("What fits")} ref=${list}>${shown.map((item, i) => html`<div key=${item.kind + item.title} id=${`${base}-${i}`} role="option" aria-selected=${String(i === at)} class="palette-item" onMouseMove=${() => i !== at && setAt(i)} onClick=${() => run(item)}>
        <${Icon} name=${item.icon} size=${15} /><span class="cut">${item.title}</span>${item.hint ? html`<span class="t4 sm cut palette-hint">${item.hint}</span>` : null}<span class="grow" /><span class="t3 xs">${KIND[item.kind]}</span></div>`)}</div>
      ${shown.length ? null : html`<p class="palette-none t3" role="status">${t("Nothing fits “{text}”.", { text })}</p>`}
      <footer class="palette-foot xs t3" aria-hidden="true"><span><kbd>↑</kbd> <kbd>↓</kbd> ${t("choose")}</span><span><kbd>Enter</kbd> ${t("open")}</span></footer></div></dialog>`;
}
