// Prices of one's own: what models cost where the price list is wrong or silent, and the books priced anew.
import { useEffect, useId, useRef, useState } from "../vendor/hooks.mjs";
import { providerName } from "../actions.js";
import { del, get, post, put, query } from "../api.js";
import { exact, usd } from "../format.js";
import { accounts, providers, resync, ruleMoves, shownAccounts } from "../live.js";
import { counted, t } from "../texts.js";
import { Ago, Button, closeDialog, Dialog, Dot, Empty, html, Icon, oops, openDialog, Select, Skeleton, TextField, toast } from "../ui.js";

const UNDO_MS = 8000;
const RATES = ["input", "output", "cache_read", "cache_write", "per_request"];
const DAY = 86400000;
const SPANS = [["1", t("The last day")], ["7", t("The last 7 days")], ["30", t("The last 30 days")], ["90", t("The last 90 days")], ["", t("From a day on")]];
const ROWS_A_STEP = 5000; // So that there is progress to show, and nothing to wait for after "Stop".
const MOST_STEPS = 60;
/** Why a request keeps its cost. */
const KEPT = {
  reported: t("the provider itself said what they took"),
  continued: t("two accounts share each of them"),
  removed: t("their account is gone, and no price of yours names it"),
  unknown: t("the price list does not know their price any more"),
};

const scopeOf = (price) => (price.account ? `account:${price.account.id}` : price.provider ? `provider:${price.provider}` : "");
const whose = (scope) => (scope ? { [scope.slice(0, scope.indexOf(":"))]: scope.slice(scope.indexOf(":") + 1) } : {});
const path = (pattern) => `/api/prices/${encodeURIComponent(pattern)}`;
const changed = () => (ruleMoves.value += 1);
const keyOf = (price) => `${scopeOf(price)}\n${price.pattern}`;

function where(price) {
  if (price.account) return price.account.label || t("{name} (removed)", { name: price.account.id });
  return price.provider ? providerName(price.provider) : t("everywhere");
}

/** The body of PUT that says the same price again. */
const again = (price) => ({ ...Object.fromEntries(RATES.filter((name) => price[name] !== null).map((name) => [name, price[name]])), subscription: price.subscription, ...whose(scopeOf(price)) });

// ------------------------------------------------------------------ one price
function check(form) {
  const wrong = {};
  if (!form.pattern.trim()) wrong.pattern = t("Which model? Its id, its family, or a pattern such as gpt-5*.");
  for (const name of RATES) if (form[name].trim() && !/^(\d+\.?\d*|\.\d+)$/.test(form[name].trim())) wrong[name] = t("Dollars, such as 1.25.");
  const given = (name) => !!form[name].trim();
  if (given("input") !== given("output")) wrong[given("input") ? "output" : "input"] = t("Both together; 0 is a price, too.");
  else if (!given("input") && (given("cache_read") || given("cache_write"))) wrong.input = t("Cached tokens need these two beside them.");
  else if (!form.subscription && !given("input") && !given("per_request")) wrong.input = t("Prices of tokens, a price per request, or a subscription.");
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
  const scopes = [["", t("Everywhere")], ...providers.value.filter((provider) => connected.has(provider.id)).map((provider) => [`provider:${provider.id}`, t("Provider {name}", { name: provider.label })]), ...shownAccounts.value.map((account) => [`account:${account.id}`, t("Account {name}", { name: account.label })])];
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
      toast(t("{name} costs that from now on.", { name: saved.pattern }), { tone: "ok", life: UNDO_MS, action: { label: t("Price the past anew"), run: () => openDialog("reprice") } });
    } catch (error) {
      setWrong({ [error.param in form ? error.param : "form"]: error.message });
      setBusy(false);
    }
  };
  const rate = (name, label, more = {}) => html`<${TextField} label=${label} name=${name} inputmode="decimal" value=${form[name]} onInput=${set(name)} error=${wrong[name]} ...${more} />`;
  return html`<${Dialog} title=${price ? t("Price of {name}", { name: price.pattern }) : t("Set a price")} sub=${price ? t("For {whom}. It replaces the list's as a whole.", { whom: price.account || price.provider ? where(price) : t("all accounts") }) : t("The nearest holds: account before provider before everywhere; a model's id before its family before a pattern.")} width=${520} onClose=${closeDialog} dirty=${dirty}
    notice=${wrong.form || wrong.account || wrong.provider ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong.form || wrong.account || wrong.provider}</span></div>` : null}
    foot=${html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="price-form" busy=${busy}>${t("Save")}<//>`}>
    <form id="price-form" class="form" onSubmit=${save} autocomplete="off">
      ${price ? null : html`<div class="form two"><${TextField} label=${t("Model")} name="pattern" placeholder="gpt-5*" value=${form.pattern} onInput=${set("pattern")} error=${wrong.pattern} />
        <${Select} label=${t("Where")} name="scope" value=${form.scope} onChange=${set("scope")} options=${scopes} /></div>`}
      <label class="inline"><input type="checkbox" name="subscription" checked=${form.subscription} onChange=${(event) => set("subscription")(event.currentTarget.checked)} /> ${t("Paid by subscription: an answer costs nothing more")}</label>
      <fieldset><legend>${form.subscription ? html`${t("What it is worth, in dollars per million tokens")} <span class="t4">${t("optional")}</span>` : t("Dollars per million tokens")}</legend><div class="form two short">
        ${rate("input", t("Read"), { placeholder: list.input || "", autofocus: !!price || !!model })}${rate("output", t("Written"), { placeholder: list.output || "" })}
        ${rate("cache_read", t("Read from the cache"), { placeholder: t("as read") })}${rate("cache_write", t("Written to the cache"), { placeholder: t("as read") })}</div></fieldset>
      ${rate("per_request", t("Dollars per answer"), { optional: true, hint: t("Beside its tokens, or instead of them.") })}
    </form><//>`;
}

/** Gone at once; undoing sets the same price again. */
async function remove(price) {
  try {
    await del(path(price.pattern) + query(whose(scopeOf(price))));
    changed();
    const restore = () => put(path(price.pattern), again(price)).then(changed, oops);
    toast(t("The price of {name} is removed.", { name: price.pattern }), { life: UNDO_MS, action: { label: t("Undo"), run: restore } });
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
    ${count ? html`<div class="sheet"><table class="grid"><thead><tr><th>${t("Model")}</th><th class="num">${t("Requests")}</th><th class="num">${t("Cost now")}</th><th class="num">${t("Then")}</th></tr></thead>
      <tbody>${models.map((one) => html`<tr key=${one.provider + "/" + one.model}><td class="c-wide"><div class="stack tight"><span class="mono cut" title=${one.model}>${one.model}</span><span class="xs t3 cut">${providerName(one.provider)}</span></div></td><td class="num">${exact(one.rows)}</td><${Sums} of=${one} /></tr>`)}
        <tr class="strong"><td class="c-wide">${t("All")}</td><td class="num">${exact(count)}</td><${Sums} of=${told} /></tr></tbody></table></div>`
    : html`<div class="verdict good" role="status"><${Dot} shape="circle" tone="ok" /><span>${counted(rows, "{n} request looked at: nothing would change.", "{n} requests looked at: nothing would change.", { n: exact(rows) })}</span></div>`}
    ${count || told.unpriced_after || kept.length ? html`<ul class="sm t3 reasons">${count ? html`<li>${t("{n} looked at.", { n: exact(rows) })}</li>` : null}${told.unpriced_after ? html`<li>${t("{n} have no known price and are not in the cost.", { n: exact(told.unpriced_after) })}</li>` : null}
      ${kept.map(([word, number]) => html`<li key=${word}>${t("{n} keep their cost: {why}.", { n: exact(number), why: KEPT[word] || word })}</li>`)}</ul>` : null}</div>`;
}

const Sums = ({ of }) => html`<td class="num" title=${"$" + of.before_usd}>${of.unpriced_before === of.rows ? html`<span class="t4">${t("unknown")}</span>` : usd(of.before_usd)}</td><td class="num" title=${"$" + of.after_usd}>${of.unpriced_after === of.rows ? html`<span class="t4">${t("unknown")}</span>` : usd(of.after_usd)}</td>`;

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
  const foot = finished ? html`<span class="grow" /><${Button} kind="primary" onClick=${closeDialog}>${t("Close")}<//>`
    : state === "working" ? html`<span class="grow t3 sm">${t("{done} of {all}", { done: exact(done), all: exact(told.changed) })}</span><${Button} onClick=${() => (stopped.current = true)}>${t("Stop")}<//>`
    : html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>${t("Cancel")}<//>${told && told.changed ? html`<${Button} kind="primary" onClick=${work}>${counted(told.changed, "Change {n} request", "Change {n} requests", { n: exact(told.changed) })}<//>`
      : html`<${Button} kind="primary" type="submit" form="reprice-form" busy=${busy}>${t("Show the difference")}<//>`}`;
  return html`<${Dialog} title=${t("Price the past anew")} sub=${t("By your prices of today, else by the list of when it was asked. Nothing is changed before you have seen it.")} width=${600} onClose=${closeDialog} locked=${state === "working"}
    notice=${wrong ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong}</span></div>` : null} foot=${foot}>
    <form id="reprice-form" class="form" onSubmit=${look}>
      ${finished || state === "working" ? null : html`<div class="form two"><${Select} label=${t("Requests of")} name="span" value=${span} onChange=${(value) => back(() => setSpan(value))} options=${SPANS} disabled=${busy} />
        ${span ? html`<span />` : html`<${TextField} label=${t("From")} name="from" type="date" required max=${day(Date.now())} value=${from} onInput=${(value) => back(() => setFrom(value))} disabled=${busy} />`}</div>`}
      ${state === "working" ? html`<div class="stack"><span id=${bar}>${t("Pricing anew …")}</span><span class="meter-bar wide" role="progressbar" aria-labelledby=${bar} aria-valuenow=${Math.round(share * 100)} aria-valuemin="0" aria-valuemax="100"><i style=${{ width: share * 100 + "%" }} /></span></div>` : null}
      ${finished ? html`<div class=${"verdict " + (cut ? "caution" : "good")} role="status"><${Dot} shape=${cut ? "half" : "circle"} tone=${cut ? "warn" : "ok"} /><div class="stack tight"><span class="strong">${counted(done, "{n} request was priced anew", "{n} requests were priced anew", { n: exact(done) })}</span><span class="sm t2">${cut ? t("Stopped: what is done is done, the rest can be asked for again.") : t("They cost {before} before, and {after} now.", { before: usd(told.before_usd), after: usd(told.after_usd) })}</span></div></div>` : null}
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
    <td class="c-name"><div class="stack tight"><span class="flex gap5"><button type="button" class="row-link cut strong mono" data-row title=${price.pattern} onClick=${change}>${price.pattern}</button>${price.subscription && !only ? html`<span class="tag kind" title=${t("An answer costs nothing more; the rates say what it is worth")}>${t("subscription")}</span>` : null}</span><span class="xs t3 cut">${price.account ? t("account {name}", { name: where(price) }) : price.provider ? t("provider {name}", { name: where(price) }) : where(price)}</span></div></td>
    ${only ? html`<td class="c-subscription t2" colspan="5">${t("subscription: an answer costs nothing more")}</td>` : html`${cell("input", t("read"))}${cell("output", t("written"))}${cell("cache_read", t("cache read"))}${cell("cache_write", t("cache written"))}${cell("per_request", t("per answer"))}`}
    <td class="num p3 t2 c-set"><${Ago} at=${price.updated_at} suffix=" ago" /></td>
    <td class="c-actions"><div class="row-actions"><${Button} small kind="ghost" icon="pencil" label=${t("Edit the price of {name}", { name: words })} onClick=${change} /><${Button} small kind="ghost" icon="trash-2" label=${t("Remove the price of {name}", { name: words })} onClick=${() => remove(price)} /></div></td></tr>`;
}

export function Prices() {
  const [list, setList] = useState(null);
  const labels = accounts.value.map((account) => account.label).join("\n"); // An account that is renamed or removed.
  useEffect(() => {
    get("/api/prices").then((data) => setList(data.prices)).catch((error) => { oops(error); setList((old) => old || []); });
  }, [resync.value, ruleMoves.value, labels]);
  const add = html`<${Button} kind="primary" icon="plus" onClick=${() => openDialog("edit-price")}>${t("Set a price")}<//>`;
  return html`<div class="page">
    <div class="page-head"><h1>${t("Prices")}</h1><span class="sub">${t("yours, where the price list is wrong or silent")}</span>
      <div class="actions"><${Button} icon="undo-2" kind="ghost" onClick=${() => openDialog("reprice")}>${t("Price the past anew")}<//>${list && list.length ? add : null}</div></div>
    ${!list ? html`<${Skeleton} rows=${4} />` : !list.length ? html`<${Empty} icon="tag" title=${t("No price of your own")} action=${html`<div class="flex center">${add}<a class="btn" href="#/models">${t("See what models cost")}</a></div>`}>${t("Every model costs what the price list says, and what it does not know is unknown, never $0. Set what you really pay: per model, account or provider.")}<//>`
    : html`<div class="sheet"><table class="grid prices cards with-actions"><thead><tr><th>${t("Model")}</th><th class="num" title=${t("US dollars per million tokens read")}>${t("In / M")}</th><th class="num" title=${t("US dollars per million tokens written")}>${t("Out / M")}</th><th class="num" title=${t("US dollars per million tokens read from the cache")}>${t("Cache read / M")}</th><th class="num" title=${t("US dollars per million tokens written to the cache")}>${t("Cache write / M")}</th><th class="num" title=${t("US dollars per answer")}>${t("Per answer")}</th><th class="num p3">${t("Set")}</th><th><span class="sr">${t("Actions")}</span></th></tr></thead>
      <tbody>${list.map((price) => html`<${Row} key=${keyOf(price)} price=${price} />`)}</tbody></table></div>
      <p class="t3 sm">${t("In force at once, for what is settled from then on. The nearest holds: account before provider before everywhere; a model's id before its family before a pattern.")}</p>`}
  </div>`;
}
