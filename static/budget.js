// A budget as people read it: how much of it is spent or held, in which period, and when it begins anew.
import { absolute, exact, num, spending, usd } from "./format.js";
import { parts, t } from "./texts.js";
import { html, In } from "./ui.js";

const WARN = 80;
const percent = (part, whole) => (whole > 0 ? Math.min(100, (100 * part) / whole) : 0); // A budget of 0 is a choice, not news.

/** Spent (solid) and held by requests in flight (pale); full bars are red where the budget refuses, amber where it only tells. */
export function BudgetMeter({ budget, name }) {
  const amount = Number(budget.amount), spent = Number(budget.spent_usd || 0), held = Number(budget.held_usd || 0);
  const soft = budget.mode === "soft", used = percent(spent, amount), over = amount > 0 && spent >= amount;
  const tone = over ? (soft ? "high" : "crit") : used >= WARN ? "high" : "";
  const zone = budget.period === "total" ? "" : budget.zone || "UTC";
  const title = [
    held ? t("{sum} held by requests in flight", { sum: usd(budget.held_usd) }) : "", zone ? t("by the calendar of {zone}", { zone }) : "",
    budget.resets_at ? t("begins anew {time}", { time: absolute(budget.resets_at) }) : t("never begins anew by itself"),
    soft ? t("an alert tells when it is spent, nothing is refused") : t("what costs money is refused when it is spent; free models stay allowed"),
  ].filter(Boolean).join(" · ");
  return html`<span class="budget" title=${title}>
    <span class=${"meter-bar " + tone} role="meter" aria-valuenow=${Math.round(used)} aria-valuemin="0" aria-valuemax="100" aria-label=${t("Budget of {name}, spent", { name })}><i style=${{ width: used + "%" }} />${held ? html`<i class="held" style=${{ width: percent(held, amount) + "%" }} />` : null}</span>
    <span class=${over && !soft ? "bad" : over ? "warn" : "t2"}>${spending(budget)}</span>${soft ? html`<span class="tag kind" title=${t("An alert tells; nothing is refused")}>${t("soft")}</span>` : null}
    ${budget.resets_at ? html`<span class="t4 nowrap">${parts("renewed in {time}", { time: html`<${In} at=${budget.resets_at} />` })}</span>` : null}</span>`;
}

/** "60 requests/min · 90k tokens/min"; "" where there is no such limit. */
export function rates({ rpm, tpm }) {
  return [rpm ? t("{n} requests/min", { n: exact(rpm) }) : "", tpm ? t("{n} tokens/min", { n: num(tpm) }) : ""].filter(Boolean).join(" · ");
}
