// The little of Markdown that answers are read by: paragraphs, headings, lists, code. Everything stays a text node: no links, no pictures, no HTML.
import { t } from "./texts.js";
import { Copy, html } from "./ui.js";

const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/;
const HEADING = /^#{1,6}\s+(.*)$/;
const ITEM = /^(\s*)(?:[-*+]|(\d+)[.)])\s+(.*)$/;
const TABLE = /^\s*\|.*\|\s*$/;

/** Text → blocks: {kind: code | heading | list | table | text, …}. An open fence reaches to the end: a stream may be inside it. */
export function blocks(text) {
  const out = [];
  const lines = text.split("\n");
  const last = (kind) => (out.length && out.at(-1).kind === kind ? out.at(-1) : null);
  let gap = true;
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    const fence = FENCE.exec(line);
    if (fence) {
      const from = i + 1;
      while (++i < lines.length && !(lines[i].trim().startsWith(fence[1]) && !lines[i].trim().slice(fence[1].length).trim()));
      out.push({ kind: "code", language: fence[2], text: lines.slice(from, i).join("\n") });
      gap = true;
      continue;
    }
    const heading = HEADING.exec(line), item = ITEM.exec(line);
    if (!line.trim()) gap = true;
    else if (heading) out.push({ kind: "heading", text: heading[1] });
    else if (TABLE.test(line)) last("table") && !gap ? last("table").lines.push(line.trim()) : out.push({ kind: "table", lines: [line.trim()] });
    else if (item) {
      const entry = { depth: Math.min(3, Math.floor(item[1].length / 2)), mark: item[2] ? item[2] + "." : "•", text: item[3] };
      if (last("list")) last("list").items.push(entry);
      else out.push({ kind: "list", items: [entry] });
    } else if (last("list") && !gap) last("list").items.at(-1).text += "\n" + line.trim();
    else if (last("text") && !gap) last("text").text += "\n" + line;
    else out.push({ kind: "text", text: line });
    if (line.trim()) gap = false;
  }
  return out;
}

/** `code` and **strong** inside a line. */
function Inline({ text }) {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((part, i) => (i % 2 === 0 ? part : part[0] === "`" ? html`<code key=${i}>${part.slice(1, -1)}</code>` : html`<strong key=${i}>${part.slice(2, -2)}</strong>`));
}

function Block({ block }) {
  if (block.kind === "code") return html`<div class="md-code"><div class="md-bar"><span class="t3 xs mono grow">${block.language}</span><${Copy} text=${block.text} what=${t("Code")} /></div><pre tabindex="0" aria-label=${block.language ? t("Code in {language}", { language: block.language }) : t("Code")}>${block.text}</pre></div>`;
  if (block.kind === "heading") return html`<p class="md-head"><${Inline} text=${block.text} /></p>`;
  if (block.kind === "table") return html`<pre class="md-table" tabindex="0" aria-label=${t("Table")}>${block.lines.join("\n")}</pre>`;
  if (block.kind === "list") return html`<ul class="md-list">${block.items.map((item, i) => html`<li key=${i} class=${"d" + item.depth}><span class="md-mark" aria-hidden="true">${item.mark}</span><span class="wrap"><${Inline} text=${item.text} /></span></li>`)}</ul>`;
  return html`<p class="md-text wrap"><${Inline} text=${block.text} /></p>`;
}

export const Markdown = ({ text }) => html`<div class="md">${blocks(text).map((block, i) => html`<${Block} key=${i} block=${block} />`)}</div>`;
