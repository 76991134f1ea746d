// Texts in the reader's language. English stands where it is used and is the key; texts/zh.json is the other column of the table,
// fetched only where Chinese is read. The language is known before any other module runs, so a table at the top of a file may hold texts.
import { language } from "./language.js";

const table = language === "en" ? {} : await fetched();

/** Without the table the page is in English, which is better than no page. */
async function fetched() {
  try {
    const answer = await fetch(`/static/texts/${language}.json`);
    return answer.ok ? await answer.json() : {};
  } catch {
    return {};
  }
}

const PLACE = /\{(\w+)\}/;

/** `t("{count} of {all} accounts", { count, all })`. The text is written out here: tests/dashboard/test_texts.py looks for it. */
export const t = (text, values) => filled(table[text] || text, values);
const filled = (text, values) => (values ? text.replaceAll(/\{(\w+)\}/g, (place, name) => (name in values ? values[name] : place)) : text);

/** As `t`, for values that are elements: gives what html`` takes as children. */
export const parts = (text, values) => (table[text] || text).split(PLACE).map((piece, i) => (i % 2 ? values[piece] : piece));

/** What the server says in English (a setting's description, a finding): translated where the table has it, else as it came. */
export const said = (text) => table[text] || text;

/** `counted(n, "{n} account", "{n} accounts")`: Chinese has one form, the table holds it under both. */
export const counted = (n, one, many, values) => t(n === 1 ? one : many, { n, ...values });

/** A label inside a sentence: small in English. What else there is has no capitals, and names keep theirs. */
export const within = (label) => (language === "en" ? label.toLowerCase() : label);
