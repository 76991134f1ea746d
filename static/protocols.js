// What the client API's formats are called, and a curl that asks in each. Ids are those of a request row's `protocol`.
import { t } from "./texts.js";

const TEXT = "…";
const PARTS = { parts: [{ text: TEXT }] };

/** `kind`: a short word for calls that are no conversation. `body`: what a call says beside its model. `inUrl`: the address names
 *  the model and the way of answering. `file`: the form field and file name of what is sent along. */
export const PROTOCOLS = {
  "openai-chat": { name: "OpenAI Chat", body: { messages: [{ role: "user", content: TEXT }] } },
  "openai-responses": { name: "OpenAI Responses", body: { input: TEXT } },
  "anthropic-messages": { name: "Anthropic Messages", body: { max_tokens: 200, messages: [{ role: "user", content: TEXT }] } },
  "gemini-generate": { name: "Gemini", body: { contents: [PARTS] }, inUrl: true },
  "openai-completions": { name: t("Text completion"), kind: t("Completion"), body: { prompt: TEXT } },
  "openai-embeddings": { name: t("Embeddings"), kind: t("Embeddings"), body: { input: TEXT } },
  "gemini-embeddings": { name: t("Gemini embeddings"), kind: t("Embeddings"), body: { content: PARTS }, inUrl: true },
  image: { name: t("Image"), kind: t("Image"), body: { prompt: TEXT } },
  speech: { name: t("Speech"), kind: t("Speech"), body: { input: TEXT, voice: "alloy" } },
  transcription: { name: t("Transcription"), kind: t("Transcription"), body: {}, file: ["file", "speech.mp3"] },
  moderation: { name: t("Moderation"), kind: t("Moderation"), body: { input: TEXT } },
  ocr: { name: t("Text of pictures"), kind: "OCR", body: {}, file: ["image", "page.png"] },
  rerank: { name: t("Rerank"), kind: t("Rerank"), body: { query: TEXT, documents: [TEXT] } },
};

export const protocolName = (id) => (PROTOCOLS[id] ? PROTOCOLS[id].name : id || "");
export const protocolKind = (id) => (PROTOCOLS[id] && PROTOCOLS[id].kind) || "";

/** Addresses that ask otherwise than their format's others. */
const ALSO = [
  [/\/images\/edits$/, { file: ["image", "picture.png"] }],
  [/\/images\/variations$/, { body: {}, file: ["image", "picture.png"] }],
  [/:batchEmbedContents$/, { body: { requests: [{ content: PARTS }] } }],
];
const ADDRESS = /^\/[\w./:-]*$/;
const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

/** A curl that asks the same again. Prompts are not stored, so what was said is a placeholder. */
export function asCurl(row, base) {
  const known = ADDRESS.test(row.path || "") && PROTOCOLS[row.protocol];
  const path = known ? row.path : "/v1/chat/completions";
  const { body, file, inUrl } = { ...(known || PROTOCOLS["openai-chat"]), ...(ALSO.find(([ending]) => ending.test(path)) || [])[1] };
  const sse = row.stream && row.protocol !== "speech"; // A sound always comes piece by piece.
  const said = inUrl ? body : { model: row.model_requested || "auto", ...body, ...(sse ? { stream: true } : {}) };
  const lines = [`curl ${sse ? "-N " : ""}${inUrl && sse ? quoted(base + path + "?alt=sse") : base + path}`, '-H "Authorization: Bearer $OMNI_KEY"'];
  if (file) lines.push(...Object.entries(said).map(([name, value]) => `-F ${quoted(`${name}=${value}`)}`), `-F ${file[0]}=@${file[1]}`);
  else lines.push('-H "Content-Type: application/json"', `-d ${quoted(JSON.stringify(said))}`);
  if (row.protocol === "speech" && known) lines.push("-o speech.mp3");
  return lines.join(" \\\n  ");
}
