// The shell: session, router, navigation, keyboard map, dialogs, the number in the favicon.
import { useEffect, useState } from "./vendor/hooks.mjs";
import { effect, signal } from "./vendor/signals.mjs";
import { connect } from "./actions.js";
import { loadSession, post, session } from "./api.js";
import { clock } from "./format.js";
import { language, LANGUAGES, setLanguage } from "./language.js";
import { lateDialog, Loading, part, Stage } from "./lazy.js";
import { heardAt, link, open, shownAccounts, start } from "./live.js";
import { Notices, problems } from "./problems.js";
import { go, route } from "./route.js";
import { counted, t } from "./texts.js";
import "./focus.js";
import { Button, closeDialog, Confirm, confirm, Dialog, dialog, Dot, html, Icon, openDialog, render, TextField, Toasts } from "./ui.js";

const accounts = () => import("./views/accounts.js"), activity = () => import("./views/activity.js"), alerts = () => import("./views/alerts.js");
const connecting = () => import("./views/connect.js"), keys = () => import("./views/keys.js"), models = () => import("./views/models.js");
const limits = () => import("./views/limits.js"), prices = () => import("./views/prices.js");
const overview = () => import("./views/overview.js"), providers = () => import("./views/providers.js"), request = () => import("./views/request.js");
const routing = () => import("./views/routing.js"), settings = () => import("./views/settings.js"), signin = () => import("./views/signin.js");
const transfer = () => import("./views/transfer.js"), usage = () => import("./views/usage.js"), quota = () => import("./views/quota.js");
const playground = () => import("./views/playground.js"), jobs = () => import("./views/jobs.js"), clients = () => import("./views/clients.js"), palette = () => import("./views/palette.js");

/** Groups of views: what happens · what is connected · who asks, and what becomes of it · the house. One line a view: name, words,
 *  icon, key after "g", part. The first four of `TABS` fit under a thumb; the others are under "More" where the window is narrow. */
const GROUPS = [
  [t("What happens"), [["overview", t("Overview"), "gauge", "o", part(overview, "Overview")], ["activity", t("Activity"), "activity", "t", part(activity, "Activity")], ["playground", t("Playground"), "message-square", "y", part(playground, "Playground")]]],
  [t("Pool"), [["accounts", t("Accounts"), "plug", "a", part(accounts, "Accounts")], ["providers", t("Providers"), "server", "p", part(providers, "Providers")], ["models", t("Models"), "box", "m", part(models, "Models")], ["quota", t("Quota"), "hourglass", "q", part(quota, "Quota")]]],
  [t("Programs"), [["keys", t("Keys"), "key-round", "k", part(keys, "Keys")], ["clients", t("Clients"), "app-window", "i", part(clients, "Clients")], ["routing", t("Routing"), "corner-down-right", "r", part(routing, "Routing")]]],
  [t("Money"), [["usage", t("Usage"), "chart-column", "u", part(usage, "Usage")], ["limits", t("Limits"), "wallet", "b", part(limits, "Limits")], ["prices", t("Prices"), "tag", "c", part(prices, "Prices")]]],
  [t("House"), [["alerts", t("Alerts"), "triangle-alert", "l", part(alerts, "Alerts")], ["jobs", t("Jobs"), "timer", "j", part(jobs, "Jobs")], ["settings", t("Settings"), "settings", "s", part(settings, "Settings")]]],
];
const VIEWS = GROUPS.flatMap(([, views]) => views);
const TABS = new Set(["overview", "activity", "accounts", "keys"]);
const REQUEST = part(request, "Request");
const viewOf = (at) => VIEWS.find(([name]) => name === at.name) || VIEWS[0];
const partOf = (at) => (at.name === "activity" && at.id ? REQUEST : viewOf(at)[4]);
partOf(route.value).ahead(); // Beside the session, not after it.

const DIALOGS = {
  connect: lateDialog(connecting, "Connect"), edit: lateDialog(connecting, "Edit"), "sign-in": lateDialog(signin, "SignIn"),
  "create-key": lateDialog(keys, "CreateKey"), "edit-key": lateDialog(keys, "EditKey"), "reveal-key": lateDialog(keys, "RevealKey"), "edit-name": lateDialog(routing, "EditName"),
  "edit-provider": lateDialog(providers, "EditProvider"), "edit-channel": lateDialog(alerts, "EditChannel"),
  "edit-limit": lateDialog(limits, "EditLimit"), "edit-price": lateDialog(prices, "EditPrice"), reprice: lateDialog(prices, "Reprice"),
  "import-file": lateDialog(transfer, "ImportFile"), "export-file": lateDialog(transfer, "ExportFile"),
  "setup-client": lateDialog(clients, "SetUpClient"), "undo-client": lateDialog(clients, "UndoClient"), palette: lateDialog(palette, "Palette"),
  confirm: Confirm, help: Help, more: More,
};
const find = () => openDialog("palette", { views: VIEWS, setTheme, speak });
const MAC = /^(Mac|iP)/.test(navigator.platform);
const SHORTCUTS = [
  [t("Go to"), VIEWS.map(([, words, , key]) => [["g", key], words])],
  [t("In a list"), [[["j"], t("Next row")], [["k"], t("Previous row")], [["Enter"], t("Open the row")], [["/"], t("Search or filter")]]],
  [t("Anywhere"), [[[MAC ? "⌘" : "Ctrl", "K"], t("Find anything")], [["n"], t("Connect an account")], [["?"], t("This help")], [["Esc"], t("Close, go back, or leave a field")]]],
];
const SEQUENCE_MS = 1200;

// ------------------------------------------------------------------ parts
function Help() {
  return html`<${Dialog} title=${t("Keyboard")} width=${520} onClose=${closeDialog}><div class="help">${SHORTCUTS.map(([title, list]) => html`<section key=${title}><h3 class="t3">${title}</h3><dl>${list.map(([pressed, words]) => html`<div key=${words}><dt>${words}</dt><dd>${pressed.map((key) => html`<kbd key=${key}>${key}</kbd>`)}</dd></div>`)}</dl></section>`)}</div><//>`;
}

const THEMES = [["system", "monitor", t("Follow the system")], ["light", "sun", t("Light")], ["dark", "moon", t("Dark")]];
const theme = signal(document.documentElement.dataset.theme || "system");

function setTheme(name) {
  theme.value = name;
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  try {
    localStorage.setItem("omni-theme", name);
  } catch {
    // Storage refused: the choice lasts as long as the page.
  }
}

function ThemeSwitch() {
  return html`<div class="segments" role="radiogroup" aria-label=${t("Theme")}>${THEMES.map(([name, icon, words]) => html`<button type="button" key=${name} role="radio" aria-checked=${String(theme.value === name)} aria-label=${words} title=${words} onClick=${() => setTheme(name)}><${Icon} name=${icon} size=${14} /></button>`)}</div>`;
}

/** Another language is another load of the page: what is typed in the settings would be gone. */
function speak(code) {
  if (!document.querySelector(".save-bar")) return setLanguage(code);
  confirm({ title: t("Discard unsaved settings?"), body: t("For another language the page is loaded anew. The settings that are not saved yet are lost."), action: t("Discard"), danger: true, onYes: () => setLanguage(code) });
}

function LanguageSwitch({ long }) {
  return LANGUAGES.filter(([code]) => code !== language).map(([code, name, sign]) => html`<${Button} key=${code} small kind="ghost" class="speak" label=${t("Language: {name}", { name })} onClick=${() => speak(code)}><b lang=${code}>${long ? name : sign}</b><//>`);
}

const LINK = {
  live: [t("Live"), "ok", "circle"],
  connecting: [t("Connecting"), "mute", "ring"],
  reconnecting: [t("Reconnecting"), "warn", "half"],
  paused: [t("Paused"), "mute", "square"],
};

function LinkState() {
  const [word, tone, shape] = LINK[link.value];
  return html`<div class="linkstate" role="status" title=${heardAt.value ? t("Last word from the server at {time}", { time: clock(heardAt.value) }) : null}><${Dot} shape=${shape} tone=${tone} /><span>${word}</span><span class="grow" /><span class="version t4">${session.value ? "v" + session.value.version : ""}</span></div>`;
}

function NavLink({ view: [name, words, icon, key, wanted], children }) {
  return html`<a class=${TABS.has(name) ? "" : "wide"} href=${"#/" + name} aria-current=${viewOf(route.value)[0] === name ? "page" : null} title=${`${words} (g ${key})`} onPointerEnter=${wanted.ahead} onFocus=${wanted.ahead}><${Icon} name=${icon} size=${16} /><span>${words}</span>${children}</a>`;
}

function Side() {
  const here = viewOf(route.value)[0];
  const trouble = problems.value.length;
  const count = {
    overview: trouble ? html`<b class="count bad" aria-label=${counted(trouble, "{n} problem", "{n} problems")}>${trouble}</b>` : null,
    accounts: shownAccounts.value.length ? html`<b class="count">${shownAccounts.value.length}</b>` : null,
  };
  return html`<nav class="side" aria-label=${t("Main")}>
    <a class="brand" href="#/overview" aria-label=${t("omni-connector, overview")}><img src="/static/icons/favicon.svg" alt="" width="22" height="22" /><span>omni-connector</span></a>
    <div class="nav">${GROUPS.map(([title, views]) => html`<div class="nav-group" role="group" aria-label=${title} key=${title}>${views.map((view) => html`<${NavLink} key=${view[0]} view=${view}>${count[view[0]]}<//>`)}</div>`)}
      <button type="button" class="nav-more" aria-haspopup="dialog" aria-current=${TABS.has(here) ? null : "true"} onClick=${() => openDialog("more")}><${Icon} name="ellipsis" size=${16} /><span>${t("More")}</span></button></div>
    <div class="side-foot"><${LinkState} />
      <div class="side-row"><${ThemeSwitch} /><${LanguageSwitch} /><${Button} kind="ghost" small icon="search" label=${t("Find anything ({keys})", { keys: MAC ? "⌘K" : "Ctrl-K" })} onClick=${find} /><${Button} kind="ghost" small icon="keyboard" label=${t("Keyboard shortcuts (?)")} onClick=${() => openDialog("help")} /></div></div></nav>`;
}

/** What has no room under a thumb: the other views, the theme, the state of the connection. */
function More() {
  return html`<${Dialog} title=${t("More")} width=${360} onClose=${closeDialog}><div class="more-list">
    <div class="nav-group">${VIEWS.filter(([name]) => !TABS.has(name)).map((view) => html`<${NavLink} key=${view[0]} view=${view} />`)}</div>
    <div class="side-row"><${LinkState} /><${Button} kind="ghost" icon="search" label=${t("Find anything")} onClick=${find} /><${LanguageSwitch} long /><${ThemeSwitch} /></div></div><//>`;
}

function LoginForm() {
  const [password, setPassword] = useState("");
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await post("/api/login", { password });
      await loadSession();
      open();
    } catch (error) {
      setWrong(error.status === 429 ? [t("Too many tries."), error.retryAfter && t("Wait {n} s.", { n: error.retryAfter })].filter(Boolean).join(" ") : error.message);
      setPassword("");
    }
    setBusy(false);
  };
  return html`<form class="form" onSubmit=${submit}><${TextField} label=${t("Password")} name="password" type="password" autocomplete="current-password" autofocus value=${password} onInput=${setPassword} error=${wrong} />
    <${Button} kind="primary" type="submit" busy=${busy}>${t("Sign in")}<//></form>`;
}

function LoginPage() {
  return html`<main class="login"><div class="login-card"><img src="/static/icons/favicon.svg" alt="" width="40" height="40" /><h1>omni-connector</h1><p class="t3">${t("This dashboard is protected by a password.")}</p><${LoginForm} /><${LanguageSwitch} long /></div></main>`;
}

/** A session that ends while someone works: sign in on top, nothing typed is lost. */
function LoginAgain() {
  return html`<${Dialog} title=${t("Signed out")} sub=${t("Sign in again to go on. Nothing you typed is lost.")} width=${380} locked><${LoginForm} /><//>`;
}

const loggedOut = () => session.value && session.value.login_needed && !session.value.authenticated;
let begun = false;

function App() {
  const at = route.value;
  const [failed, setFailed] = useState("");
  const boot = () => loadSession().then(() => setFailed("")).catch((error) => setFailed(error.message));
  useEffect(() => {
    boot();
  }, []);
  useEffect(() => {
    document.title = `${viewOf(at)[1]} · omni-connector`;
  }, [at.name]);
  if (!session.value) return failed ? html`<main class="login"><div class="login-card"><${Icon} name="wifi-off" size=${24} /><h1>${t("No answer")}</h1><p class="t3">${failed}</p><${Button} onClick=${boot}>${t("Try again")}<//></div></main>` : null;
  if (loggedOut() && !begun) return html`<${LoginPage} />`;
  if (!begun) {
    begun = true;
    queueMicrotask(start);
  }
  const top = dialog.value;
  const Top = top && DIALOGS[top.kind];
  return html`<div class="shell"><${Side} /><main class="main" tabindex="-1" id="main">${viewOf(at)[0] === "overview" ? null : html`<${Notices} />`}<${Stage} of=${partOf(at)} at=${at} /></main></div>
    <${Loading} />
    ${Top ? html`<${Top} key=${top.kind} ...${top} />` : null}
    ${loggedOut() ? html`<${LoginAgain} />` : null}
    <${Toasts} />`;
}

window.addEventListener("hashchange", () => {
  if (dialog.value && ["help", "confirm", "more", "palette"].includes(dialog.value.kind)) closeDialog(); // Forms stay: "back" must not eat what was typed.
});

// ------------------------------------------------------------------ keyboard
let waitingForG = 0;

function onKey(event) {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key === "k") {
    event.preventDefault(); // Before the browser's own search field. An open form is not thrown away for it.
    if (dialog.value && dialog.value.kind === "palette") closeDialog();
    else if (begun && !document.querySelector("dialog[open]")) find();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && typing && !event.target.closest("dialog")) return event.target.blur();
  if (typing || document.querySelector("dialog[open]")) return;
  if (event.timeStamp - waitingForG < SEQUENCE_MS) {
    waitingForG = -Infinity;
    const view = VIEWS.find(([, , , key]) => key === event.key);
    if (view) {
      event.preventDefault();
      go(view[0]);
    }
    return;
  }
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act(event);
}

function moveRow(step) {
  const rows = [...document.querySelectorAll("main [data-row]")];
  const at = rows.indexOf(document.activeElement);
  const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step))];
  if (next) next.focus();
}

const KEYS = {
  g: (event) => (waitingForG = event.timeStamp),
  j: () => moveRow(1),
  k: () => moveRow(-1),
  n: () => connect(),
  "?": () => openDialog("help"),
  "/": () => {
    const field = document.querySelector("[data-filter]");
    if (field) field.select();
    else go("activity");
  },
  Escape: () => {
    if (route.value.name === "activity" && route.value.id) history.back();
  },
};
document.addEventListener("keydown", onKey);
waitingForG = -Infinity;

// ------------------------------------------------------------------ the favicon carries the number of problems
const FACE = '<rect width="32" height="32" rx="8" fill="#1d1c1a"/><g fill="none" stroke="#f4f2ee" stroke-width="2.4" stroke-linecap="round"><circle cx="16" cy="16" r="4.2"/><path d="M5 8c4.500 0 5 4.200 7.400 6M5 24c4.500 0 5-4.200 7.400-6M20.200 16H27"/></g>';

effect(() => {
  const count = problems.value.length;
  const badge = count ? `<circle cx="22" cy="22" r="10" fill="#d6453d"/><text x="22" y="27" font-family="sans-serif" font-size="14" font-weight="700" text-anchor="middle" fill="#fff">${count > 9 ? "9+" : count}</text>` : "";
  const icon = document.getElementById("favicon");
  const href = count ? "data:image/svg+xml," + encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">${FACE}${badge}</svg>`) : "/static/icons/favicon.svg";
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
});

render(html`<${App} />`, document.getElementById("app"));
