// The accounts as a table that becomes cards where it is narrow: what state each is in and why, what it has left, what it did.
import { useEffect, useMemo, useState } from "../vendor/hooks.mjs";
import { edit, providerName } from "../actions.js";
import { Left, told } from "../quota.js";
import { said, t } from "../texts.js";
import { accountWords, Ago, Cooldown, Cost, Heartbeat, html, Num, Status } from "../ui.js";

const AT_ONCE = 30; // Rows that are drawn in one go: hundreds of them would hold the page up.

const scoped = (account) => (account.cooldowns || []).filter((cooldown) => cooldown.scope && account.status === "ready");

function State({ account, own }) {
  const listed = !own && ["needs_login", "error", "locked"].includes(account.status); // The strips above say it already, with the button.
  const why = listed ? null : account.cooldown && account.status !== "ready" ? html`<${Cooldown} cooldown=${account.cooldown} />` : account.status !== "ready" && (account.status !== "disabled" || account.enabled) ? said(account.status_reason) : null;
  return html`<div class="stack tight"><${Status} words=${accountWords(account)} title=${said(account.status_reason)} />
    ${why ? html`<div class="why sm t2">${why}</div>` : null}
    ${own && account.status === "needs_login" ? html`<div><${own.Reconnect} account=${account} /></div>` : null}
    ${scoped(account).slice(0, 2).map((cooldown) => html`<div class="why sm t2" key=${cooldown.scope}><${Cooldown} cooldown=${cooldown} /></div>`)}</div>`;
}

function AccountName({ account, own }) {
  const priority = own ? html`<${own.Priority} account=${account} />` : null;
  return html`<div class="stack tight"><span class="flex gap5"><button type="button" class="row-link cut strong" data-row onClick=${() => edit(account)} title=${account.label}>${account.label}</button>${account.demo ? html`<span class="tag demo">${t("demo")}</span>` : null}</span>
    <span class="sm t3 flex gap5"><span class="cut">${said(providerName(account.provider))}${!own && account.priority ? ` · ${t("priority {n}", { n: account.priority })}` : ""}</span>${priority}</span></div>${own ? html`<span class="rename"><${own.Rename} account=${account} /></span><${own.Grip} account=${account} />` : null}`;
}

function InFlight({ account, own }) {
  const busy = html`<span class=${account.in_flight ? "strong accent" : "t4"}>${account.in_flight}</span>`;
  if (own) return html`${busy}<${own.Limit} account=${account} />`;
  return account.max_in_flight ? html`${busy}<span class="t4"> / ${account.max_in_flight}</span>` : busy;
}

function ModelCount({ account }) {
  const chosen = account.models || [];
  const found = account.discovered || [];
  const list = chosen.length ? chosen : found.length ? found : account.serves || [];
  const title = list.slice(0, 12).join("\n") + (list.length > 12 ? `\n… ${t("and {n} more", { n: list.length - 12 })}` : "");
  if (!list.length) return html`<span class="t4" title=${t("This account takes any model name.")}>${t("any")}</span>`;
  return html`<span title=${title}>${list.length}${chosen.length ? html` <span class="t4">${t("chosen")}</span>` : null}</span>`;
}

export const Head = ({ own }) => html`<thead><tr><th>${t("Account")}</th><th>${t("State")}</th><th class="c-beats">${t("Last attempts")}</th><th class="c-quota">${t("Quota")}</th>${own ? html`<th class="c-models">${t("Models")}</th>` : null}
  <th class="num c-flight">${t("In flight")}</th><th class="num c-today">${t("Today")}</th><th class="num c-cost">${t("Cost")}</th><th class="num c-used">${t("Last used")}</th>${own ? html`<th><span class="sr">${t("Actions")}</span></th>` : null}</tr></thead>`;

/** How many of a list are to be drawn: the first ones at once, the others in the frames after. */
export function useGrowing(all) {
  const [drawn, setDrawn] = useState(AT_ONCE);
  useEffect(() => {
    if (drawn >= all) return undefined;
    const timer = setTimeout(() => setDrawn(drawn + AT_ONCE), 0);
    return () => clearTimeout(timer);
  }, [drawn, drawn < all]);
  return drawn;
}

/** Drawn again when its account changes, and not when another one does. */
export function Row({ account, own }) {
  return useMemo(() => html`<tr class=${account.status === "disabled" ? "off" : ""} ...${own ? own.droppable(account) : {}}>
    <td class="c-name"><${AccountName} account=${account} own=${own} /></td>
    <td class="c-state"><${State} account=${account} own=${own} /></td>
    <td class="c-beats"><${Heartbeat} beats=${account.heartbeat} name=${account.label} /></td>
    <td class=${"c-quota" + (told(account) ? "" : " untold")}><${Left} account=${account} /></td>
    ${own ? html`<td class="c-models"><${ModelCount} account=${account} /></td>` : null}
    <td class="num c-flight"><${InFlight} account=${account} own=${own} /></td>
    <td class="num c-today">${account.requests_today ? html`<${Num} value=${account.requests_today} unit=${t("requests today")} />` : html`<span class="t4">0</span>`}</td>
    <td class="num c-cost"><${Cost} cost=${account.requests_today || account.cost_today ? { usd: account.cost_today } : { usd: "0" }} /></td>
    <td class="num c-used t2"><${Ago} at=${account.last_used_at} /></td>
    ${own ? html`<td class="c-actions"><${own.Actions} account=${account} /></td>` : null}
  </tr>`, [account, own]);
}

/** `own`: what may be done to an account here, as components; null where it is only shown. */
export function AccountTable({ list, own = null }) {
  const drawn = useGrowing(list.length);
  return html`<div class="sheet"><table class=${"grid accounts cards" + (own ? " with-actions" : "")}><${Head} own=${own} />
    <tbody>${list.slice(0, drawn).map((account) => html`<${Row} key=${account.id} account=${account} own=${own} />`)}</tbody></table></div>`;
}
