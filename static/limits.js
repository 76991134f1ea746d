// The fields that limit somebody, the same in every form: an account, a key, a provider, a model, everything.
import { t } from "./texts.js";
import { html, Select, TextField } from "./ui.js";

const PERIODS = [["day", t("a day")], ["week", t("a week, from Monday")], ["month", t("a month")], ["total", t("in total")]];
const MODES = [["hard", t("refuse what costs money")], ["soft", t("only tell me")]];
const COUNTS = [["rpm", t("Requests per minute")], ["tpm", t("Tokens per minute")], ["max_in_flight", t("Most in flight")]];
const ALL = COUNTS.map(([name]) => name);
const PARTS = ["amount", "period", "zone", "mode"];

const here = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const text = (value) => (value === null || value === undefined ? "" : String(value));

/** Texts of the form for what somebody is limited to. A new budget follows the clock of whoever sets it. */
export function limitForm(row) {
  const budget = (row && row.budget) || null;
  const form = { amount: "", period: "month", zone: here(), mode: "hard" };
  if (budget) Object.assign(form, { amount: budget.amount, period: budget.period, zone: budget.zone || "UTC", mode: budget.mode || "hard" });
  for (const [name] of COUNTS) form[name] = text(row && row[name]);
  return form;
}

/** What is wrong with them, by field. `counts`: names of those that are in the form. */
export function limitProblems(form, counts = ALL) {
  const wrong = {};
  if (form.amount.trim() && !/^\d*\.?\d+$|^\d+\.$/.test(form.amount.trim().replace(/^\$/, ""))) wrong.amount = t("Dollars, such as 5 or 0.50. Empty: no budget.");
  for (const name of counts) if (form[name].trim() && !/^[1-9]\d*$/.test(form[name].trim())) wrong[name] = t("A whole number from 1, or empty for no limit.");
  return wrong;
}

/** The form → {budget, rpm, tpm, max_in_flight} of the admin API. What a budget did not say and still does not is left out. */
export function limitBody(form, before = null) {
  const amount = form.amount.trim().replace(/^\$/, "").replace(/\.$/, "");
  const was = (before && before.budget) || {};
  const budget = amount ? { amount, period: form.period } : null;
  if (budget && form.period !== "total" && (form.zone !== "UTC" || was.zone)) budget.zone = form.zone;
  if (budget && (form.mode !== "hard" || was.mode)) budget.mode = form.mode;
  return { budget, ...Object.fromEntries(COUNTS.map(([name]) => [name, form[name].trim() ? Number(form[name]) : null])) };
}

/** What a budget says, without what is spent of it: two that say the same are the same. */
export const said = (budget) => (budget ? JSON.stringify(PARTS.map((name) => budget[name] || null)) : "null");

/** The refusal's field as the form names it ("budget.zone" is "zone"). */
export const fieldOf = (param) => ({ budget: "amount" })[param] || (param || "").replace(/^budget\./, "");

/** Brings a field into sight, also out of a closed part of the form. */
export function showField(form, name) {
  setTimeout(() => {
    const node = form && [...form.elements].find((element) => element.name === name);
    if (!node) return;
    const box = node.closest("details");
    if (box) box.open = true;
    node.focus();
  });
}

function zones(chosen) {
  const all = Intl.supportedValuesOf ? Intl.supportedValuesOf("timeZone") : [];
  const first = [...new Set(["UTC", here(), chosen])];
  return [...first, ...all.filter((name) => !first.includes(name))].map((name) => [name, name === here() ? t("{name} (yours)", { name }) : name]);
}

/** `counts`: names of those that this form has. */
export function LimitFields({ form, set, wrong, counts = ALL, autofocus = false }) {
  const budget = !!form.amount.trim();
  const timed = budget && form.period !== "total";
  return html`
    <div class="form two">
      <${TextField} label=${t("Budget")} name="amount" inputmode="decimal" placeholder=${t("none")} autofocus=${autofocus} hint=${t("US dollars. Empty: none. 0: only what is free.")} value=${form.amount} onInput=${set("amount")} error=${wrong.amount} />
      <${Select} label=${t("Period")} name="period" value=${form.period} onChange=${set("period")} options=${PERIODS} disabled=${!budget} />
      <${Select} label=${t("Time zone")} name="zone" hint=${t("Where its days, weeks and months begin.")} error=${wrong.zone} value=${form.zone} onChange=${set("zone")} options=${zones(form.zone)} disabled=${!timed} />
      <${Select} label=${t("When it is spent")} name="mode" error=${wrong.mode} value=${form.mode} onChange=${set("mode")} options=${MODES} disabled=${!budget} />
    </div>
    <div class="form three">${COUNTS.filter(([name]) => counts.includes(name)).map(([name, label]) => html`<${TextField} key=${name} label=${label} name=${name} inputmode="numeric" placeholder=${t("no limit")} value=${form[name]} onInput=${set(name)} error=${wrong[name]} />`)}</div>`;
}
