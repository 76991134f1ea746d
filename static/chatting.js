// One question to /v1, as any program asks it: a key that lives in this page's memory only, the answer piece by piece.
import { baseUrl, get, patch, post } from "./api.js";
import { t } from "./texts.js";

const NAME = "dashboard playground"; // One row among the keys, used again: a page gets its own secret for it.
const LIFE = "1h", LIFE_MS = 55 * 60_000; // A little less than the server's hour.

let ours = null; // {key: a promise of it, until}: never written anywhere.

/** A short-lived key of our own, one for all questions that are asked at once. */
function ownKey() {
  if (!ours || ours.until < Date.now()) {
    const mine = { key: made(), until: Date.now() + LIFE_MS };
    ours = mine;
    mine.key.catch(() => ours === mine && (ours = null)); // Whoever asked hears why; the next question tries again.
  }
  return ours.key;
}

/** The row of an earlier page is used again with a new secret, so that the list of keys stays short. */
async function made() {
  const { keys } = await get("/api/keys");
  const former = keys.find((key) => key.name === NAME && key.status !== "revoked" && key.expires_at);
  if (former) await patch(`/api/keys/${former.id}`, { expires_at: LIFE });
  const row = former ? await post(`/api/keys/${former.id}/rotate`) : await post("/api/keys", { name: NAME, expires_at: LIFE });
  return row.key;
}

async function send(key, body, signal) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${key}` };
  return fetch("/v1/chat/completions", { method: "POST", headers, credentials: "omit", cache: "no-store", redirect: "error", body: JSON.stringify(body), signal });
}

/** What the answer's headers say of its way: {id, provider, account, model, route, dropped, attempts}. */
function headOf(response) {
  const of = (name) => decoded(response.headers.get("x-omni-" + name) || "");
  return { id: of("request-id"), provider: of("provider"), account: of("account"), model: of("model"), route: of("route"), dropped: of("dropped"), attempts: Number(of("attempts")) || 0 };
}

/** Letters that a header cannot carry come as %C3%A9. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A label with a "%" of its own.
  }
}

async function refused(response) {
  // Two listeners: the client API has an address of its own, which the policy of this page lets nobody ask.
  if (response.status === 404 && !response.headers.get("x-omni-request-id") && new URL(baseUrl()).port !== location.port) return new Error(t("The client API is at {address}, apart from the dashboard: this page may not ask it.", { address: baseUrl() }));
  let words = t("The server answered {status}.", { status: response.status });
  try {
    words = (await response.json()).error.message || words;
  } catch {
    // No JSON: the status alone says what is known.
  }
  return new Error(words);
}

/** The data of each event of a stream, cut anywhere. */
async function* events(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      const parts = rest.split(/\r?\n\r?\n/);
      rest = done ? "" : parts.pop();
      for (const part of parts) {
        const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
        if (data) yield data;
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {}); // Also when the user stops: nothing more is wanted of it.
  }
}

/** Asks; `tell` hears {head}, {text}, {thought} and {usage} as they come. Resolves at the end; rejects with what went wrong, AbortError when stopped.
 *  `key` "": one of our own is made. */
export async function ask({ key, model, messages, effort, signal, tell }) {
  const body = { model, messages, stream: true, stream_options: { include_usage: true }, ...(effort ? { reasoning_effort: effort } : {}) };
  const used = key ? null : ownKey();
  let response = await send(key || (await used), body, signal);
  if (response.status === 401 && !key) {
    if (ours && ours.key === used) ours = null; // Another page took the row, or somebody revoked it.
    response = await send(await ownKey(), body, signal);
  }
  tell({ head: headOf(response) });
  if (!response.ok) throw await refused(response);
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message || t("The answer broke off."));
    const delta = (chunk.choices && chunk.choices[0] && chunk.choices[0].delta) || {};
    if (delta.reasoning_content) tell({ thought: delta.reasoning_content });
    if (delta.content || delta.refusal) tell({ text: delta.content || delta.refusal });
    if (chunk.usage) tell({ usage: chunk.usage });
  }
}
