// Everything in one encrypted file, and the copies that the server makes by itself.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { get, post, session } from "../api.js";
import { absolute } from "../format.js";
import { resync } from "../live.js";
import { t } from "../texts.js";
import { Ago, Button, Copy, html, oops, TextField, toast } from "../ui.js";

const size = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** A file of the server's, into the browser's folder. */
function keep(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function Snapshots() {
  const [told, setTold] = useState(null);
  useEffect(() => {
    get("/api/backups").then(setTold).catch(oops);
  }, [resync.value]);
  if (!told) return null;
  if (!told.snapshots.length) return html`<p class="t3 sm pad">${told.every_h ? t("The server copies its database every {n} hours; there is no copy yet.", { n: told.every_h }) : t("The server makes no copies of its database (snapshot_hours is 0).")}</p>`;
  return html`<table class="grid" aria-label=${t("Copies of the database")}><thead><tr><th>${t("Copy")}</th><th class="num">${t("Size")}</th><th class="num">${t("Made")}</th><th><span class="sr">${t("Command")}</span></th></tr></thead><tbody>${told.snapshots.map((one) => {
    const command = `omni-connector restore --snapshot ${one.name}`;
    return html`<tr key=${one.name}><td class="c-name mono sm wrap">${one.name}</td><td class="num t2">${size(one.bytes)}</td><td class="num t2" title=${absolute(one.made_at)}><${Ago} at=${one.made_at} suffix=" ago" /></td>
      <td class="c-actions"><div class="row-actions"><${Copy} text=${command} what=${t("the command that restores it")} /></div></td></tr>`;
  })}</tbody></table>`;
}

export function Backup() {
  const [form, setForm] = useState({ passphrase: "", again: "" });
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState(false);
  const withPassword = Boolean(session.value && session.value.password_set);
  const set = (name) => (value) => setForm({ ...form, [name]: value });
  const save = async (event) => {
    event.preventDefault();
    setBusy(true);
    setWrong({});
    try {
      const file = await post("/api/backup", { passphrase: form.passphrase, [withPassword ? "password" : "admin_key"]: form.again }, { file: true });
      keep(file, `omni-connector-${new Date().toISOString().slice(0, 10)}.backup`);
      setForm({ passphrase: "", again: "" });
      toast(t("The backup is written ({size}). Keep its passphrase.", { size: size(file.size) }), { tone: "ok" });
    } catch (error) {
      if (["key_again", "wrong_password"].includes(error.code)) setWrong({ again: error.message });
      else if (error.param === "passphrase") setWrong({ passphrase: error.message });
      else oops(error);
    }
    setBusy(false);
  };
  return html`<section class="section" aria-label=${t("Backup")}><div class="section-head"><h2>${t("Backup")}</h2></div><form class="sheet pad stack" onSubmit=${save}>
    <p class="t3 sm">${t("One encrypted file with accounts, keys, settings, books and the master key. To bring it back, here or on another machine: omni-connector restore FILE.")}</p>
    <${TextField} label=${t("Passphrase of the file")} name="backup-passphrase" value=${form.passphrase} onInput=${set("passphrase")} error=${wrong.passphrase} hint=${t("At least 8 characters. Without it nobody can open the file, you included.")} secret autocomplete="new-password" minlength="8" />
    <${TextField} label=${withPassword ? t("Password of this dashboard") : t("Admin key")} name="backup-again" value=${form.again} onInput=${set("again")} error=${wrong.again} hint=${withPassword ? t("Once more, because credentials leave this machine.") : t("It stands in the file admin.key of OMNI_HOME.")} secret autocomplete="off" />
    <div class="row-actions"><${Button} type="submit" kind="primary" busy=${busy} disabled=${form.passphrase.length < 8 || !form.again}>${t("Download backup")}<//></div></form>
    <div class="sheet"><${Snapshots} /></div></section>`;
}
