// What other programs and servers of this machine have that could be connected: check boxes, warnings, and the user's decisions.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { signal } from "../vendor/signals.mjs";
import { get, post } from "../api.js";
import { Button, html, Icon, oops, toast } from "../ui.js";
import { counted, said, t } from "../texts.js";

/** Imports, and says what came of it. Resolves to what the user has to decide first, [] when all is done. */
export async function bringIn(body) {
  const told = await post("/api/accounts/import", body);
  const done = told.added + told.updated;
  if (done) toast(counted(done, "{n} account imported.", "{n} accounts imported."), { tone: "ok" });
  const failed = told.accounts.filter((row) => row.outcome === "failed" && !row.code);
  if (failed.length) toast(`${failed[0].label || failed[0].where}: ${failed[0].why}${failed.length > 1 ? ` (${t("and {n} more", { n: failed.length - 1 })})` : ""}`, { tone: "bad", life: 12000 });
  return told.asks;
}

/** A sign-in that is off is switched on; what was read is acknowledged with the next import. */
export async function decide(asks) {
  const off = asks.filter((ask) => ask.code === "connector_off").map((ask) => ask.provider);
  if (!off.length) return;
  const on = ((await get("/api/config")).settings.find((item) => item.name === "connectors") || {}).value || [];
  await post("/api/config", { connectors: [...new Set([...on, ...off])] });
}

export function Asks({ asks, yes, setYes }) {
  if (!asks.length) return null;
  return html`<div class="callout" role="alert"><${Icon} name="shield-check" /><div class="stack">${asks.map((ask) => html`<p class="wrap" key=${ask.provider + ask.code}>${said(ask.message)}</p>`)}
    <label class="inline"><input type="checkbox" name="decided" checked=${yes} onChange=${(event) => setYes(event.currentTarget.checked)} /> ${t("I have read this and want it all the same.")}</label></div></div>`;
}

/** Asks, and imports again once the user has decided. `run` gets the providers that are acknowledged, and resolves to what is still asked. */
export function useDecisions(run) {
  const [asks, setAsks] = useState([]);
  const [yes, setYes] = useState(false);
  const [known, setKnown] = useState([]);
  const [busy, setBusy] = useState(false);
  const go = async () => {
    setBusy(true);
    try {
      await decide(asks);
      const accepted = [...new Set([...known, ...asks.filter((ask) => ask.code === "notice").map((ask) => ask.provider)])]; // Only what was shown.
      setKnown(accepted);
      setAsks(await run(accepted));
      setYes(false);
    } catch (error) {
      oops(error);
    }
    setBusy(false);
  };
  return { asks, yes, setYes, busy, go, blocked: asks.length > 0 && !yes };
}

const seen = signal([]); // What the last look found: there at once when the dialog opens again.

export function Found() {
  const list = seen.value;
  const setList = (found) => (seen.value = found);
  const [picked, setPicked] = useState(new Set());
  const look = async () => {
    try {
      setList((await get("/api/accounts/discover")).found.filter((one) => !one.already));
    } catch {
      setList([]); // An offer, not a need: the rest of the page goes on without it.
    }
  };
  useEffect(() => {
    look();
  }, []);
  const choice = useDecisions(async (acknowledged) => {
    const asks = await bringIn({ ids: [...picked], acknowledged });
    if (!asks.length) setPicked(new Set());
    await look();
    return asks;
  });
  if (!list.length) return null;
  const tick = (id) => {
    const next = new Set(picked);
    if (!next.delete(id)) next.add(id);
    setPicked(next);
  };
  return html`<section class="found stack" aria-label=${t("Found on this machine")}><h3 class="t3">${t("Found on this machine")}</h3>
    ${list.map((one) => html`<label class=${"inline" + (one.importable ? "" : " t3")} key=${one.id}><input type="checkbox" name=${one.id} disabled=${!one.importable} checked=${picked.has(one.id)} onChange=${() => tick(one.id)} />
      <span class="stack none"><span>${said(one.title)}${one.who ? html` <span class="t3">${one.who}</span>` : null}${one.models.length ? html` <span class="t3">${counted(one.models.length, "{n} model", "{n} models")}</span>` : null}</span>
      <span class=${"xs wrap " + (picked.has(one.id) && one.warning ? "warn" : "t3")}>${said(one.why_not || (picked.has(one.id) && one.warning) || one.where)}</span></span></label>`)}
    <${Asks} ...${choice} />
    ${list.some((one) => one.importable) ? html`<div><${Button} small kind=${picked.size ? "primary" : ""} busy=${choice.busy} disabled=${!picked.size || choice.blocked} onClick=${choice.go}>${picked.size ? t("Import {n}", { n: picked.size }) : t("Import")}<//></div>` : null}
  </section>`;
}
