// Fetch helpers for /api. Every call that changes something carries the CSRF token of GET /api/session.
import { t } from "./texts.js";
import { signal } from "./vendor/signals.mjs";

/** What GET /api/session said: {authenticated, login_needed, password_set, csrf, version, base_url}; null until the first answer. */
export const session = signal(null);

/** Where programs reach the client API. */
export const baseUrl = () => (session.value && session.value.base_url) || location.origin;

export class ApiError extends Error {
  constructor(status, body) {
    const error = (body && body.error) || {};
    super(error.message || (status ? t("The server answered {status}.", { status }) : t("The server does not answer. Is omni-connector running?")));
    this.status = status;
    this.code = error.code || error.type || "";
    this.param = error.param || null;
    this.retryAfter = null;
  }
}

async function send(method, path, body, options) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && session.value) headers["X-CSRF-Token"] = session.value.csrf;
  let response;
  try {
    response = await fetch(path, {
      method, headers, credentials: "same-origin", cache: "no-store", redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body), keepalive: options.keepalive, signal: options.signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, null);
  }
  if (options.file && response.ok) return { response, data: await response.blob() };
  const text = await response.text();
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    data = null; // A proxy's HTML page or a cut answer: the status alone says what is known.
  }
  return { response, data };
}

/** One admin call. Resolves to the parsed JSON; rejects with ApiError carrying the server's own words. */
export async function call(method, path, body, options = {}) {
  let { response, data } = await send(method, path, body, options);
  if (response.status === 403 && method !== "GET" && session.value) {
    const before = session.value.csrf;
    await loadSession(); // The server may have restarted and minted a new token.
    if (session.value.csrf !== before) ({ response, data } = await send(method, path, body, options));
  }
  if (response.status === 401 && path !== "/api/login") await loadSession();
  if (!response.ok) {
    const error = new ApiError(response.status, data);
    error.retryAfter = response.headers.get("Retry-After");
    throw error;
  }
  return data;
}

export const get = (path, options) => call("GET", path, undefined, options);
export const post = (path, body = {}, options) => call("POST", path, body, options);
export const patch = (path, body) => call("PATCH", path, body);
export const put = (path, body) => call("PUT", path, body);
export const del = (path, options) => call("DELETE", path, undefined, options);

export async function loadSession() {
  const { response, data } = await send("GET", "/api/session", undefined, {});
  if (!response.ok || !data) throw new ApiError(response.status, data);
  session.value = data;
  return data;
}

/** Query string of the filled-in entries only, with its question mark. */
export function query(params) {
  const filled = Object.entries(params).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return filled.length ? "?" + new URLSearchParams(filled) : "";
}
