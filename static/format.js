// Numbers, money and times for people. The exact value always goes into a title beside the short one.
import { locale } from "./language.js";
import { t } from "./texts.js";

const UNITS = [[1e9, "B"], [1e6, "M"], [1e3, "k"]];

/** 12400 → "12.4k" */
export function num(value) {
  if (value === null || value === undefined) return "–";
  for (const [size, unit] of UNITS) {
    if (Math.abs(value) >= size) return trim(value / size) + unit;
  }
  return String(value);
}
const trim = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, ""));

export const exact = (value) => (value === null || value === undefined ? "" : Number(value).toLocaleString("en-US"));

/** 340 → "340 ms", 1240 → "1.24 s", 123000 → "2 m 3 s" */
export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60000) return `${(value / 1000).toFixed(value < 10000 ? 2 : 1)} s`;
  return t("{m} m {s} s", { m: Math.floor(value / 60000), s: Math.floor((value % 60000) / 1000) });
}

/** Dollars as the server's exact string → a short figure. null is unknown, never $0. */
export function usd(text) {
  if (text === null || text === undefined) return t("unknown");
  const value = Number(text);
  if (value === 0) return "$0";
  if (value < 0.0001) return "<$0.0001";
  if (value < 0.1) return "$" + value.toPrecision(2).replace(/(\.\d*?)0+$/, "$1");
  return "$" + value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

/** A budget: "$1.23 of $5 this month". */
export function spending({ amount, period, spent_usd }) {
  const when = { day: t("today"), week: t("this week"), month: t("this month") }[period] || t("in total");
  return spent_usd === undefined || spent_usd === null ? t("${amount} {when}", { amount, when }) : t("{spent} of ${amount} {when}", { spent: usd(spent_usd), amount, when });
}

/** A length of time, coarse: "28 s", "4 min", "3 h", "2 d". */
export function span(milliseconds) {
  const s = Math.max(0, Math.round(milliseconds / 1000));
  if (s < 90) return t("{n} s", { n: s });
  if (s < 5400) return t("{n} min", { n: Math.round(s / 60) });
  if (s < 129600) return t("{n} h", { n: Math.round(s / 3600) });
  return t("{n} d", { n: Math.round(s / 86400) });
}

export function ago(at, now) {
  if (!at) return t("never");
  const past = now - at;
  return past < 1500 ? t("now") : span(past);
}

export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
export const absolute = (at) => (at ? new Date(at).toLocaleString(locale, { dateStyle: "medium", timeStyle: "medium" }) : "");

/** Today's first millisecond, in the user's own time zone. */
export function midnight(now = Date.now()) {
  return new Date(now).setHours(0, 0, 0, 0);
}

export function uptime(seconds) {
  const d = Math.floor(seconds / 86400), h = Math.floor((seconds % 86400) / 3600), m = Math.floor((seconds % 3600) / 60);
  return [d && t("{n} d", { n: d }), h && t("{n} h", { n: h }), !d && t("{n} min", { n: m })].filter(Boolean).join(" ");
}
