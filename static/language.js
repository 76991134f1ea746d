// Which language the page speaks: what was chosen here, else what the browser asks for.
/** Code, name and sign, each in the language itself. */
export const LANGUAGES = [["en", "English", "EN"], ["zh", "中文", "中"]];
const KEY = "omni-language";

function chosen() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // Storage refused: the browser's own wish.
  }
}

const wished = chosen() || (navigator.language || "en").slice(0, 2);
export const language = LANGUAGES.some(([code]) => code === wished) ? wished : "en";
document.documentElement.lang = language === "zh" ? "zh-CN" : language;

/** For Intl and toLocaleString. English dates stay as the reader's system writes them. */
export const locale = language === "en" ? undefined : document.documentElement.lang;

/** Texts are read once, when the page is loaded, so another language is another load. */
export function setLanguage(code) {
  try {
    localStorage.setItem(KEY, code);
  } catch {
    return; // Nothing would remember it over the load.
  }
  location.reload();
}
