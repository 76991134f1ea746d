// What can be done to accounts and keys from anywhere: buttons of several views, problems and the keyboard end here.
import { call, del, patch, post } from "./api.js";
import { ms } from "./format.js";
import { dropAccount, providersById, putAccount, removing } from "./live.js";
import { counted, t } from "./texts.js";
import { confirm, oops, openDialog, toast } from "./ui.js";

const UNDO_MS = 5000;

export const connect = (provider = null) => openDialog("connect", { provider });
export const edit = (account, focus = null) => openDialog("edit", { id: account.id, focus });
export const createKey = () => openDialog("create-key");

export function providerName(id) {
  const provider = providersById.value.get(id);
  return provider ? provider.label : id;
}

/** A tab has to be opened while the click is fresh; the address follows. null: the browser refused, the link is there anyway. */
export function openTab() {
  const tab = window.open("", "_blank");
  if (tab) tab.opener = null;
  return tab;
}

/** Signs an account in again: one click, straight to the provider. */
export const signInAgain = (account) => openDialog("sign-in", { provider: account.provider, id: account.id, tab: openTab(), begin: true });

/** Saves an edited account: only what changed is sent. */
export async function saveAccount(id, body) {
  const saved = id ? await patch(`/api/accounts/${id}`, body) : await call("POST", "/api/accounts", body);
  putAccount(saved);
  return saved;
}

/** Shown at once, taken back when the server refuses. */
export async function setEnabled(account, enabled) {
  putAccount({ ...account, enabled, status: enabled ? "ready" : "disabled" });
  try {
    putAccount(await post(`/api/accounts/${account.id}/${enabled ? "enable" : "disable"}`));
  } catch (error) {
    putAccount(account);
    oops(error);
  }
}

export async function clearCooldown(account) {
  try {
    putAccount(await post(`/api/accounts/${account.id}/clear-cooldown`));
    toast(t("{name} may be used again.", { name: account.label }), { tone: "ok" });
  } catch (error) {
    oops(error);
  }
}

/** Asks now whether an account that is out is back. The answer comes with the account, once it was asked. */
export async function probe(account) {
  try {
    const told = await post(`/api/accounts/${account.id}/probe`);
    toast(told.message, { tone: told.job ? "ok" : "warn" });
  } catch (error) {
    oops(error);
  }
}

export async function test(account) {
  try {
    const result = await post(`/api/accounts/${account.id}/test`);
    const found = result.models && result.models.length ? ", " + counted(result.models.length, "{n} model", "{n} models") : "";
    if (result.ok) toast(t("{name} answers in {time}{found}.", { name: account.label, time: ms(result.latency_ms), found }), { tone: "ok" });
    else toast(`${account.label}: ${result.message}`, { tone: "bad", life: 9000 });
  } catch (error) {
    oops(error);
  }
}

/** Asks, hides the row, and sends the DELETE only when the time to undo is over (or the page goes away). */
export function remove(account) {
  confirm({
    title: t("Remove {name}?", { name: account.label }), action: t("Remove"), danger: true,
    body: t("Its credential is deleted from this machine. Past requests stay in the activity log."),
    onYes() {
      removing.value = new Set([...removing.value, account.id]);
      const show = () => {
        const left = new Set(removing.value);
        left.delete(account.id);
        removing.value = left;
      };
      const send = async (keepalive) => {
        clearTimeout(timer);
        window.removeEventListener("pagehide", leave);
        try {
          await del(`/api/accounts/${account.id}`, { keepalive });
          dropAccount(account.id);
        } catch (error) {
          oops(error);
        }
        show();
      };
      const leave = () => send(true);
      const timer = setTimeout(send, UNDO_MS, false);
      window.addEventListener("pagehide", leave);
      toast(t("{name} removed.", { name: account.label }), {
        life: UNDO_MS,
        action: { label: t("Undo"), run() { clearTimeout(timer); window.removeEventListener("pagehide", leave); show(); } },
      });
    },
  });
}
