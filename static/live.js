// One SSE connection feeds one store: a snapshot, then named deltas applied once per animation frame.
import { batch, computed, signal } from "./vendor/signals.mjs";
import { get, loadSession, session } from "./api.js";

const RETRY_MS = [400, 1000, 2000, 4000, 8000, 15000];
const SAY_RECONNECTING_AFTER_MS = 5000;
const CLOSE_HIDDEN_AFTER_MS = 20000; // Browsers allow six connections per host: sleeping tabs must not hold them.
const HIDDEN_POLL_MS = 60000; // Keeps the number in the favicon honest while the stream is closed.
const KEPT_REQUESTS = 200;
const REFRESH_ACCOUNTS_MS = 2500;

export const ready = signal(false);
export const accounts = signal([]);
export const keys = signal([]);
export const requests = signal([]);
export const providers = signal([]);
export const system = signal(null);
/** The only node there is; "" where there are several. */
const alone = computed(() => {
  const { node, nodes = [] } = system.value || {};
  return nodes.some((one) => one.node !== node) ? "" : node;
});
/** The node that served a row, where there is more than one to tell apart. */
export const nodeOf = (row) => (alone.value === undefined || row.node === alone.value ? null : row.node || null);
/** Parts of the snapshot that could not be read: the database is away. */
export const unread = signal([]);
/** "connecting" | "live" | "reconnecting" | "paused" */
export const link = signal("connecting");
/** When the last word from the server came (ms). */
export const heardAt = signal(0);
/** Rises with each snapshot: views that hold fetched pages fetch again. */
export const resync = signal(0);
/** The latest request rows, for views that merge them into their own lists: {n, rows}. */
export const arrivals = signal({ n: 0, rows: [] });
/** Rises when an alert or one of its channels changes: the view fetches them again. */
export const alertMoves = signal(0);
/** Rises when a limit or a price of the user's changes: the views that show them fetch them again. */
export const ruleMoves = signal(0);
/** Seconds clock for countdowns and minute clock for ages; both stand still while the page is hidden. */
export const now = signal(Date.now());
export const minute = signal(Date.now());
/** Ids of accounts whose removal can still be undone: hidden everywhere. */
export const removing = signal(new Set());

export const shownAccounts = computed(() => accounts.value.filter((account) => !removing.value.has(account.id)));
export const providersById = computed(() => new Map(providers.value.map((provider) => [provider.id, provider])));

let source = null;
let attempt = 0;
let retryTimer = 0;
let sayTimer = 0;
let hiddenTimer = 0;
let frame = 0;
let queue = [];
let refreshTimer = 0;
let outdated = false; // Requests moved since the server last described the accounts: load, beats and "last used" are old.

export function start() {
  document.addEventListener("visibilitychange", onVisibility);
  window.addEventListener("online", () => open());
  setInterval(tick, 1000);
  setInterval(pollHidden, HIDDEN_POLL_MS);
  open();
}

/** Connects now, dropping any wait: after a sign-in, or when the user presses "Try now". */
export function open() {
  clearTimeout(retryTimer);
  if (source) source.close();
  if (session.value && session.value.login_needed && !session.value.authenticated) return;
  if (!sayTimer && link.value !== "live") sayTimer = setTimeout(() => (link.value = "reconnecting"), SAY_RECONNECTING_AFTER_MS);
  source = new EventSource("/api/events");
  for (const name of Object.keys(APPLY)) source.addEventListener(name, (event) => enqueue(name, event.data));
  source.onerror = onError;
}

function onError() {
  source.close();
  source = null;
  if (link.value === "live") link.value = "connecting";
  if (!sayTimer) sayTimer = setTimeout(() => (link.value = "reconnecting"), SAY_RECONNECTING_AFTER_MS);
  const wait = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] * (0.8 + 0.4 * Math.random());
  attempt += 1;
  retryTimer = setTimeout(async () => {
    try {
      await loadSession(); // EventSource hides the status: this tells a lost session from a lost server, and renews the CSRF token.
    } catch {
      // Still down: the next error schedules the next try.
    }
    open();
  }, wait);
}

function enqueue(name, text) {
  let data;
  try {
    data = JSON.parse(text);
  } catch {
    return; // A cut event: the next snapshot brings the truth.
  }
  if (name === "snapshot") queue = []; // Anything older is contained in it.
  queue.push([name, data]);
  if (!frame) frame = document.hidden ? setTimeout(flush, 250) : requestAnimationFrame(flush);
}

function flush() {
  frame = 0;
  const events = queue;
  queue = [];
  const rows = new Map();
  batch(() => {
    for (const [name, data] of events) {
      APPLY[name](data);
      if (name === "request") rows.set(data.id, tidy(data));
    }
    heardAt.value = Date.now();
    if (rows.size) {
      requests.value = mergeRows(requests.value, rows).slice(0, KEPT_REQUESTS);
      arrivals.value = { n: arrivals.value.n + 1, rows: [...rows.values()] };
      outdated = true;
      if (!refreshTimer) refreshTimer = setTimeout(refreshAccounts, REFRESH_ACCOUNTS_MS);
    }
  });
}

/** Account deltas come when a state changes; what every request moves is fetched, at most once in a while. */
async function refreshAccounts() {
  refreshTimer = 0;
  if (!outdated || document.hidden || link.value !== "live") return;
  outdated = false;
  try {
    accounts.value = kept(accounts.value, (await get("/api/accounts")).accounts);
  } catch {
    outdated = true; // The next request row, or the next snapshot, tries again.
  }
}

const APPLY = {
  snapshot(data) {
    attempt = 0;
    clearTimeout(sayTimer);
    sayTimer = 0;
    accounts.value = kept(accounts.value, data.accounts || []);
    keys.value = data.keys || [];
    requests.value = tidyRows(data.requests || []);
    providers.value = data.providers || [];
    system.value = data.system || null;
    unread.value = data.unread || [];
    link.value = "live";
    ready.value = true;
    resync.value += 1;
    checkVersion(data.version);
  },
  account: (data) => (accounts.value = upsert(accounts.value, data)),
  "account-removed": (data) => (accounts.value = accounts.value.filter((account) => account.id !== data.id)),
  provider: ({ account_list: _, ...data }) => (providers.value = upsert(providers.value, data)),
  key: (data) => (keys.value = upsert(keys.value, data)),
  "key-removed": (data) => (keys.value = keys.value.filter((key) => key.id !== data.id)),
  request: () => {}, // Merged once per frame, in flush().
  alert: () => (alertMoves.value += 1),
  "alert-channel": () => (alertMoves.value += 1),
  "alert-channel-removed": () => (alertMoves.value += 1),
  limit: () => (ruleMoves.value += 1),
  price: () => (ruleMoves.value += 1),
  system(data) {
    system.value = data;
    if (unread.value.length && !data.database_away) open(); // What could not be read can be now.
  },
  version: (data) => checkVersion(typeof data === "string" ? data : data.version),
};

/** Rows name nobody as {id: null}: null is handier everywhere else. */
function tidy(row) {
  return { ...row, account: row.account && row.account.id ? row.account : null, key: row.key && row.key.id ? row.key : null };
}
export const tidyRows = (rows) => rows.map(tidy);

function upsert(list, item) {
  const at = list.findIndex((other) => other.id === item.id);
  return at < 0 ? [...list, item] : list.toSpliced(at, 1, { ...list[at], ...item });
}

/** The list as it is now; what did not change stays the same object, so that its row is not drawn again. */
function kept(before, list) {
  const known = new Map(before.map((item) => [item.id, item]));
  return list.map((item) => (same(known.get(item.id), item) ? known.get(item.id) : item));
}

/** Two values of JSON, whatever the order of their names. */
function same(a, b) {
  if (a === b || typeof a !== "object" || typeof b !== "object" || !a || !b) return a === b;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => same(a[name], b[name]));
}

/** Rows already listed are replaced in place; new ones go on top, newest first (ids sort by time). */
export function mergeRows(list, rows) {
  const known = new Set(list.map((row) => row.id));
  const fresh = [...rows.values()].filter((row) => !known.has(row.id)).sort((a, b) => (a.id < b.id ? 1 : -1));
  return [...fresh, ...list.map((row) => rows.get(row.id) || row)];
}

/** Rows as they were read, or as events have told of them meanwhile: what is over does not open again. */
export function caughtUp(list) {
  const told = new Map(requests.value.filter((row) => row.state !== "open").map((row) => [row.id, row]));
  return list.map((row) => (row.state === "open" && told.get(row.id)) || row);
}

/** Puts an answer of the admin API into the store at once; the event that follows says the same. */
export const putAccount = (account) => APPLY.account(account);
export const putProvider = (provider) => APPLY.provider(provider);
export const putKey = (key) => APPLY.key(key);
export const dropAccount = (id) => APPLY["account-removed"]({ id });

function checkVersion(version) {
  const loaded = session.value && session.value.version;
  if (!version || !loaded || version === loaded) return;
  // A stale tab after an update reloads itself, but never under someone's hands and never twice for one version.
  const reload = () => {
    if (!document.hidden || document.querySelector("dialog[open]") || sessionStorage.getItem("omni-reloaded") === version) return;
    sessionStorage.setItem("omni-reloaded", version);
    location.reload();
  };
  document.addEventListener("visibilitychange", reload);
  reload();
}

function onVisibility() {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(pause, CLOSE_HIDDEN_AFTER_MS);
    return;
  }
  tick();
  if (!source) open();
}

function pause() {
  if (source) source.close();
  source = null;
  clearTimeout(retryTimer);
  clearTimeout(sayTimer);
  sayTimer = 0;
  link.value = "paused";
}

async function pollHidden() {
  if (!document.hidden || source) return;
  try {
    accounts.value = (await get("/api/accounts")).accounts;
  } catch {
    // Nothing to say to a hidden page; coming back reconnects and reports.
  }
}

function tick() {
  if (document.hidden) return;
  const at = Date.now();
  now.value = at;
  if (at - minute.value >= 20000) minute.value = at;
}
