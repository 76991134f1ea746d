// Whether there is a newer release: looked up when somebody asks, never by itself. The update itself is one command in a terminal.
import { useState } from "../vendor/hooks.mjs";
import { post } from "../api.js";
import { system } from "../live.js";
import { t } from "../texts.js";
import { Button, Copy, Dot, html } from "../ui.js";

function Offered({ told }) {
  const { present, offered, update, schema, previous, command } = told;
  if (!update) return html`<div class="verdict good" role="status"><${Dot} shape="circle" tone="ok" /><span>${t("{version} is the release that is offered.", { version: present })}</span></div>`;
  return html`<div class="verdict" role="status"><${Dot} shape="half" tone="accent" /><div class="stack grow"><span class="strong">${t("{offered} is offered; {present} runs.", { offered, present })}</span>
    <span class="sm t2">${schema.moves ? t("It changes the database: a copy is made first, and rollback brings it back.") : t("The database stays as it is.")} ${t("It is tried on a copy before it serves.")}${previous ? " " + t("Before this one: {version}.", { version: previous }) : ""}</span>
    <div class="keybox"><code>${command}</code><${Copy} text=${command} what=${t("Command")} /></div></div></div>`;
}

export function Update() {
  const [told, setTold] = useState(null);
  const [why, setWhy] = useState("");
  const [busy, setBusy] = useState(false);
  const look = async () => {
    setBusy(true);
    setWhy("");
    setTold(null);
    try {
      setTold(await post("/api/update/check"));
    } catch (error) {
      setWhy(error.message);
    }
    setBusy(false);
  };
  return html`<section class="section"><div class="section-head"><h2>${t("Update")}</h2></div><div class="sheet pad stack gap12">
    <div class="flex wrapping"><span class="grow t2">${system.value ? t("Version {version} runs.", { version: system.value.version }) + " " : ""}${t("Nothing is looked up or updated by itself.")}</span><${Button} icon="refresh-cw" busy=${busy} onClick=${look}>${t("Look for a newer release")}<//></div>
    ${told ? html`<${Offered} told=${told} />` : null}${why ? html`<p class="sm t2 wrap" role="status">${why}</p>` : null}</div></section>`;
}
