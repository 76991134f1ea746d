// Prices of one's own: what models cost where the price list is wrong or silent, and the books priced anew.
import { useEffect, useId, useRef, useState } from "../vendor/hooks.mjs";
import { providerName } from "../actions.js";
import { del, get, post, put, query } from "../api.js";
import { exact, plural, usd } from "../format.js";
import { accounts, providers, resync, ruleMoves, shownAccounts } from "../live.js";
import { Ago, Button, closeDialog, Dialog, Dot, Empty, html, Icon, oops, openDialog, Select, Skeleton, TextField, toast } from "../ui.js";

const UNDO_MS = 8000;
const RATES = ["input", "output", "cache_read", "cache_write", "per_request"];
const DAY = 86400000;
const SPANS = [["1", "The last day"], ["7", "The last 7 days"], ["30", "The last 30 days"], ["90", "The last 90 days"], ["", "From a day on"]];
const ROWS_A_STEP = 5000; // So that there is progress to show, and nothing to wait for after "Stop".
const MOST_STEPS = 60;
/** Why a request keeps its cost. */
const KEPT = {
  reported: "the provider itself said what they took",
  continued: "two accounts share each of them",
  removed: "their account is gone, and no price of yours names it",
  unknown: "the price list does not know their price any more",
};

const scopeOf = (price) => (price.account ? `account:${price.account.id}` : price.provider ? `provider:${price.provider}` : "");
const whose = (scope) => (scope ? { [scope.slice(0, scope.indexOf(":"))]: scope.slice(scope.indexOf(":") + 1) } : {});
const path = (pattern) => `/api/prices/${encodeURIComponent(pattern)}`;
const changed = () => (ruleMoves.value += 1);
const keyOf = (price) => `${scopeOf(price)}\n${price.pattern}`;

function where(price) {
  if (price.account) return price.account.label || `${price.account.id} (removed)`;
  return price.provider ? providerName(price.provider) : "everywhere";
}

/** The body of PUT that says the same price again. */
const again = (price) => ({ ...Object.fromEntries(RATES.filter((name) => price[name] !== null).map((name) => [name, price[name]])), subscription: price.subscription, ...whose(scopeOf(price)) });

// ------------------------------------------------------------------ one price
function check(form) {
  const wrong = {};
  if (!form.pattern.trim()) wrong.pattern = "Which model? Its id, its family, or a pattern such as gpt-5*.";
  for (const name of RATES) if (form[name].trim() && !/^(\d+\.?\d*|\.\d+)$/.test(form[name].trim())) wrong[name] = "Dollars, such as 1.25.";
  const given = (name) => !!form[name].trim();
  if (given("input") !== given("output")) wrong[given("input") ? "output" : "input"] = "Both together; 0 is a price, too.";
  else if (!given("input") && (given("cache_read") || given("cache_write"))) wrong.input = "Cached tokens need these two beside them.";
  else if (!form.subscription && !given("input") && !given("per_request")) wrong.input = "Prices of tokens, a price per request, or a subscription.";
  return wrong;
}

/** `price`: to change. `model`: whose price is set from elsewhere, with what the list says of it as `list`. */
export function EditPrice({ price, model = "", list = {} }) {
  const [form, setForm] = useState(() => ({ pattern: price ? price.pattern : model, scope: price ? scopeOf(price) : "", subscription: !!price && price.subscription, ...Object.fromEntries(RATES.map((name) => [name, (price && price[name]) || ""])) }));
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState(false);
  const [dirty, setDirty] = useState(false);
  const set = (name) => (value) => {
    const next = { ...form, [name]: value };
    setForm(next);
    setDirty(true);
    setWrong(Object.keys(wrong).length ? check(next) : wrong); // What was put right is told no longer.
  };
  const connected = new Set(shownAccounts.value.map((account) => account.provider));
  const scopes = [["", "Everywhere"], ...providers.value.filter((provider) => connected.has(provider.id)).map((provider) => [`provider:${provider.id}`, `Provider ${provider.label}`]), ...shownAccounts.value.map((account) => [`account:${account.id}`, `Account ${account.label}`])];
  const save = async (event) => {
    event.preventDefault();
    const bad = check(form);
    setWrong(bad);
    if (Object.keys(bad).length) return;
    setBusy(true);
    const rates = Object.fromEntries(RATES.filter((name) => form[name].trim()).map((name) => [name, form[name].trim()]));
    try {
      const saved = await put(path(form.pattern.trim()), { ...rates, subscription: form.subscription, ...whose(form.scope) });
      changed();
      closeDialog();
      toast(`${saved.pattern} costs that from now on.`, { tone: "ok", life: UNDO_MS, action: { label: "Price the past anew", run: () => openDialog("reprice") } });
    } catch (error) {
      setWrong({ [error.param in form ? error.param : "form"]: error.message });
      setBusy(false);
    }
  };
  const rate = (name, label, more = {}) => html`<${TextField} label=${label} name=${name} inputmode="decimal" value=${form[name]} onInput=${set(name)} error=${wrong[name]} ...${more} />`;
  return html`<${Dialog} title=${price ? `Price of ${price.pattern}` : "Set a price"} sub=${price ? `For ${where(price) === "everywhere" ? "all accounts" : where(price)}. It replaces the list's as a whole.` : "The nearest holds: account before provider before everywhere; a model's id before its family before a pattern."} width=${520} onClose=${closeDialog} dirty=${dirty}
    notice=${wrong.form || wrong.account || wrong.provider ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong.form || wrong.account || wrong.provider}</span></div>` : null}
    foot=${html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>Cancel<//><${Button} kind="primary" type="submit" form="price-form" busy=${busy}>Save<//>`}>
    <form id="price-form" class="form" onSubmit=${save} autocomplete="off">
      ${price ? null : html`<div class="form two"><${TextField} label="Model" name="pattern" placeholder="gpt-5*" value=${form.pattern} onInput=${set("pattern")} error=${wrong.pattern} />
        <${Select} label="Where" name="scope" value=${form.scope} onChange=${set("scope")} options=${scopes} /></div>`}
      <label class="inline"><input type="checkbox" name="subscription" checked=${form.subscription} onChange=${(event) => set("subscription")(event.currentTarget.checked)} /> Paid by subscription: an answer costs nothing more</label>
      <fieldset><legend>${form.subscription ? html`What it is worth, in dollars per million tokens <span class="t4">optional</span>` : "Dollars per million tokens"}</legend><div class="form two short">
        ${rate("input", "Read", { placeholder: list.input || "", autofocus: !!price || !!model })}${rate("output", "Written", { placeholder: list.output || "" })}
        ${rate("cache_read", "Read from the cache", { placeholder: "as read" })}${rate("cache_write", "Written to the cache", { placeholder: "as read" })}</div></fieldset>
      ${rate("per_request", "Dollars per answer", { optional: true, hint: "Beside its tokens, or instead of them." })}
    </form><//>`;
}

/** Gone at once; undoing sets the same price again. */
async function remove(price) {
  try {
    await del(path(price.pattern) + query(whose(scopeOf(price))));
    changed();
    const restore = () => put(path(price.pattern), again(price)).then(changed, oops);
    toast(`The price of ${price.pattern} is removed.`, { life: UNDO_MS, action: { label: "Undo", run: restore } });
  } catch (error) {
    oops(error);
  }
}

// ------------------------------------------------------------------ the past, priced anew
const day = (at) => new Date(at - new Date(at).getTimezoneOffset() * 60000).toISOString().slice(0, 10);

/** The same period in steps, none of them empty. */
function steps({ from, to, rows }) {
  const count = Math.max(1, Math.min(MOST_STEPS, Math.ceil(rows / ROWS_A_STEP), to - from));
  return Array.from({ length: count }, (_, i) => ({ from: from + Math.floor(((to - from) * i) / count), to: from + Math.floor(((to - from) * (i + 1)) / count) }));
}

function Difference({ told }) {
  const { models, changed: count, rows } = told;
  const kept = Object.entries(told.kept);
  return html`<div class="stack gap12">
    ${count ? html`<div class="sheet"><table class="grid"><thead><tr><th>Model</th><th class="num">Requests</th><th class="num">Cost now</th><th class="num">Then</th></tr></thead>
      <tbody>${models.map((one) => html`<tr key=${one.provider + "/" + one.model}><td class="c-wide"><div class="stack tight"><span class="mono cut" title=${one.model}>${one.model}</span><span class="xs t3 cut">${providerName(one.provider)}</span></div></td><td class="num">${exact(one.rows)}</td><${Sums} of=${one} /></tr>`)}
        <tr class="strong"><td class="c-wide">All</td><td class="num">${exact(count)}</td><${Sums} of=${told} /></tr></tbody></table></div>`
    : html`<div class="verdict good" role="status"><${Dot} shape="circle" tone="ok" /><span>${plural(rows, "request").replace(/^\d+/, exact(rows))} looked at: nothing would change.</span></div>`}
    ${count || told.unpriced_after || kept.length ? html`<ul class="sm t3 reasons">${count ? html`<li>${exact(rows)} looked at.</li>` : null}${told.unpriced_after ? html`<li>${exact(told.unpriced_after)} have no known price and are not in the cost.</li>` : null}
      ${kept.map(([word, number]) => html`<li key=${word}>${exact(number)} keep their cost: ${KEPT[word] || word}.</li>`)}</ul>` : null}</div>`;
}

const Sums = ({ of }) => html`<td class="num" title=${"$" + of.before_usd}>${of.unpriced_before === of.rows ? html`<span class="t4">unknown</span>` : usd(of.before_usd)}</td><td class="num" title=${"$" + of.after_usd}>${of.unpriced_after === of.rows ? html`<span class="t4">unknown</span>` : usd(of.after_usd)}</td>`;

export function Reprice() {
  const [span, setSpan] = useState("30");
  const [from, setFrom] = useState(() => day(Date.now() - 30 * DAY));
  const [told, setTold] = useState(null);
  const [wrong, setWrong] = useState("");
  const [state, setState] = useState("asking"); // asking → looking → shown → working → done
  const [share, setShare] = useState(0);
  const [done, setDone] = useState(0);
  const stopped = useRef(false);
  const bar = useId();
  useEffect(() => () => (stopped.current = true), []);
  const ask = (body) => post("/api/prices/reprice", body);
  const fail = (error) => {
    setWrong(error.message);
    setState("asking");
  };
  const look = async (event) => {
    event.preventDefault();
    setState("looking");
    setWrong("");
    try {
      const start = span ? Date.now() - Number(span) * DAY : new Date(from + "T00:00").getTime();
      setTold(await ask({ from: start, to: "now", dry_run: true }));
      setState("shown");
    } catch (error) {
      fail(error);
    }
  };
  const work = async () => {
    stopped.current = false;
    setState("working");
    let count = 0;
    const all = steps(told);
    try {
      for (const [at, part] of all.entries()) {
        if (stopped.current) break;
        count += (await ask({ ...part, dry_run: false })).changed;
        setDone(count);
        setShare((at + 1) / all.length);
      }
      setState("done");
    } catch (error) {
      fail(error);
    }
  };
  const back = (change) => {
    change();
    setTold(null);
    setState("asking");
  };
  const busy = state === "looking" || state === "working";
  const finished = state === "done";
  const cut = finished && share < 1;
  const foot = finished ? html`<span class="grow" /><${Button} kind="primary" onClick=${closeDialog}>Close<//>`
    : state === "working" ? html`<span class="grow t3 sm">${exact(done)} of ${exact(told.changed)}</span><${Button} onClick=${() => (stopped.current = true)}>Stop<//>`
    : html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>Cancel<//>${told && told.changed ? html`<${Button} kind="primary" onClick=${work}>Change ${plural(told.changed, "request").replace(/^\d+/, exact(told.changed))}<//>`
      : html`<${Button} kind="primary" type="submit" form="reprice-form" busy=${busy}>Show the difference<//>`}`;
  return html`<${Dialog} title="Price the past anew" sub="By your prices of today, else by the list of when it was asked. Nothing is changed before you have seen it." width=${600} onClose=${closeDialog} locked=${state === "working"}
    notice=${wrong ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong}</span></div>` : null} foot=${foot}>
    <form id="reprice-form" class="form" onSubmit=${look}>
      ${finished || state === "working" ? null : html`<div class="form two"><${Select} label="Requests of" name="span" value=${span} onChange=${(value) => back(() => setSpan(value))} options=${SPANS} disabled=${busy} />
        ${span ? html`<span />` : html`<${TextField} label="From" name="from" type="date" required max=${day(Date.now())} value=${from} onInput=${(value) => back(() => setFrom(value))} disabled=${busy} />`}</div>`}
      ${state === "working" ? html`<div class="stack"><span id=${bar}>Pricing anew …</span><span class="meter-bar wide" role="progressbar" aria-labelledby=${bar} aria-valuenow=${Math.round(share * 100)} aria-valuemin="0" aria-valuemax="100"><i style=${{ width: share * 100 + "%" }} /></span></div>` : null}
      ${finished ? html`<div class=${"verdict " + (cut ? "caution" : "good")} role="status"><${Dot} shape=${cut ? "half" : "circle"} tone=${cut ? "warn" : "ok"} /><div class="stack tight"><span class="strong">${exact(done)} ${done === 1 ? "request was" : "requests were"} priced anew</span><span class="sm t2">${cut ? "Stopped: what is done is done, the rest can be asked for again." : `They cost ${usd(told.before_usd)} before, and ${usd(told.after_usd)} now.`}</span></div></div>` : null}
      ${state === "looking" ? html`<${Skeleton} rows=${3} />` : told && !finished && state !== "working" ? html`<${Difference} told=${told} />` : null}
    </form><//>`;
}

// ------------------------------------------------------------------ the list
function Rate({ value }) {
  return value === null ? html`<span class="t4">–</span>` : html`<span title=${"$" + value}>$${value}</span>`;
}

function Row({ price }) {
  const words = `${price.pattern} (${where(price)})`;
  const change = () => openDialog("edit-price", { price });
  const only = price.subscription && RATES.every((name) => price[name] === null);
  const cell = (name, label) => html`<td class=${"num c-rate" + (price[name] === null ? " empty-rate" : "")} data-label=${label}><${Rate} value=${price[name]} /></td>`;
  return html`<tr>
    <td class="c-name"><div class="stack tight"><span class="flex gap5"><button type="button" class="row-link cut strong mono" data-row title=${price.pattern} onClick=${change}>${price.pattern}</button>${price.subscription && !only ? html`<span class="tag kind" title="An answer costs nothing more; the rates say what it is worth">subscription</span>` : null}</span><span class="xs t3 cut">${price.account ? "account " : price.provider ? "provider " : ""}${where(price)}</span></div></td>
    ${only ? html`<td class="c-subscription t2" colspan="5">subscription: an answer costs nothing more</td>` : html`${cell("input", "read")}${cell("output", "written")}${cell("cache_read", "cache read")}${cell("cache_write", "cache written")}${cell("per_request", "per answer")}`}
    <td class="num p3 t2 c-set"><${Ago} at=${price.updated_at} suffix=" ago" /></td>
    <td class="c-actions"><div class="row-actions"><${Button} small kind="ghost" icon="pencil" label=${`Edit the price of ${words}`} onClick=${change} /><${Button} small kind="ghost" icon="trash-2" label=${`Remove the price of ${words}`} onClick=${() => remove(price)} /></div></td></tr>`;
}

export function Prices() {
  const [list, setList] = useState(null);
  const labels = accounts.value.map((account) => account.label).join("\n"); // An account that is renamed or removed.
  useEffect(() => {
    get("/api/prices").then((data) => setList(data.prices)).catch((error) => { oops(error); setList((old) => old || []); });
  }, [resync.value, ruleMoves.value, labels]);
  const add = html`<${Button} kind="primary" icon="plus" onClick=${() => openDialog("edit-price")}>Set a price<//>`;
  return html`<div class="page">
    <div class="page-head"><h1>Prices</h1><span class="sub">yours, where the price list is wrong or silent</span>
      <div class="actions"><${Button} icon="undo-2" kind="ghost" onClick=${() => openDialog("reprice")}>Price the past anew<//>${list && list.length ? add : null}</div></div>
    ${!list ? html`<${Skeleton} rows=${4} />` : !list.length ? html`<${Empty} icon="tag" title="No price of your own" action=${html`<div class="flex center">${add}<a class="btn" href="#/models">See what models cost</a></div>`}>Every model costs what the price list says, and what it does not know is unknown, never $0. Set what you really pay: per model, account or provider.<//>`
    : html`<div class="sheet"><table class="grid prices cards with-actions"><thead><tr><th>Model</th><th class="num" title="US dollars per million tokens read">In / M</th><th class="num" title="US dollars per million tokens written">Out / M</th><th class="num" title="US dollars per million tokens read from the cache">Cache read / M</th><th class="num" title="US dollars per million tokens written to the cache">Cache write / M</th><th class="num" title="US dollars per answer">Per answer</th><th class="num p3">Set</th><th><span class="sr">Actions</span></th></tr></thead>
      <tbody>${list.map((price) => html`<${Row} key=${keyOf(price)} price=${price} />`)}</tbody></table></div>
      <p class="t3 sm">In force at once, for what is settled from then on. The nearest holds: account before provider before everywhere; a model's id before its family before a pattern.</p>`}
  </div>`;
}
