// The address is the state: #/view/id?filter=value. Links are plain hashes; this file reads and replaces them.
import { signal } from "./vendor/signals.mjs";

function parse() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // A hand-written address with a stray "%": taken as it stands.
  }
  return { name: name || "overview", id, params: Object.fromEntries(new URLSearchParams(search)) };
}

/** {name, id, params} of the current address. */
export const route = signal(parse());

window.addEventListener("hashchange", () => (route.value = parse()));

export const go = (path) => (location.hash = "#/" + path);

/** Writes filters into the address without a history entry for each keystroke. */
export function replaceParams(params) {
  const filled = Object.entries(params).filter(([, value]) => value);
  const { name, id } = route.value;
  const search = filled.length ? "?" + new URLSearchParams(filled) : "";
  history.replaceState(null, "", `#/${name}${id ? "/" + encodeURIComponent(id) : ""}${search}`);
  route.value = parse();
}
