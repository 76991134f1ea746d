// Accounts from a file and into a file. Credentials leave only for whoever gives the password, or the admin key, again.
import { useState } from "../vendor/hooks.mjs";
import { post, session } from "../api.js";
import { providers } from "../live.js";
import { Button, closeDialog, Dialog, html, oops, Select, TextField, toast } from "../ui.js";
import { Asks, bringIn, useDecisions } from "./connect_found.js";
import { counted, said, t } from "../texts.js";

const CONFLICTS = [["skip", t("Leave what is there")], ["rename", t("Import under another label")], ["update", t("Update what is there")]];
const OUTCOMES = [["added", (n) => t("{n} added", { n })], ["updated", (n) => t("{n} updated", { n })], ["skipped", (n) => t("{n} skipped", { n })], ["failed", (n) => t("{n} failed", { n })]];
const MOST_ROWS = 8;

export function ImportFile() {
  const [content, setContent] = useState("");
  const [form, setForm] = useState({ on_conflict: "skip", passphrase: "", provider: "" });
  const [seen, setSeen] = useState(null); // The report of a dry run.
  const [wrong, setWrong] = useState({});
  const body = (more) => ({ ...form, ...more, content: more.content || content });
  const look = async (more) => {
    setWrong({});
    try {
      setSeen(await post("/api/accounts/import", body({ ...more, dry_run: true })));
    } catch (error) {
      setSeen(null);
      setWrong({ [error.param === "passphrase" ? "passphrase" : "file"]: error.message });
    }
  };
  const set = (name) => (value) => setForm({ ...form, [name]: value });
  const choose = async (event) => {
    const file = event.currentTarget.files[0];
    if (!file) return;
    const text = await file.text();
    setContent(text);
    await look({ content: text });
  };
  const choice = useDecisions(async (acknowledged) => {
    const asks = await bringIn(body({ acknowledged }));
    if (!asks.length) closeDialog();
    return asks;
  });
  const count = seen ? seen.added + seen.updated + seen.asks.length : 0;
  return html`<${Dialog} title=${t("Import accounts")} sub=${t("From an export of this or another program, or the file in which one keeps its sign-in.")} onClose=${closeDialog} dirty=${!!content}
    foot=${html`${content ? html`<${Button} onClick=${() => look({})}>${t("Look again")}<//>` : null}<span class="grow" /><${Button} kind="primary" busy=${choice.busy} disabled=${!count || choice.blocked} onClick=${choice.go}>${t("Import")}<//>`}>
    <div class="form">
      <div class=${"field" + (wrong.file ? " wrong" : "")}><label for="import-file">${t("File, chosen or dropped here")}</label><input id="import-file" class="input drop" type="file" accept=".json,application/json" onChange=${choose} />${wrong.file ? html`<div class="note" role="alert">${wrong.file}</div>` : null}</div>
      ${wrong.passphrase || form.passphrase ? html`<${TextField} label=${t("Passphrase")} name="passphrase" secret value=${form.passphrase} onInput=${set("passphrase")} error=${wrong.passphrase} />` : null}
      <${Select} label=${t("Where there is such an account")} name="on_conflict" value=${form.on_conflict} onChange=${(value) => { set("on_conflict")(value); if (seen) look({ on_conflict: value }); }} options=${CONFLICTS} />
      ${seen && (!seen.format || form.provider) ? html`<${Select} label=${t("Whose sign-in is it?")} name="provider" value=${form.provider} onChange=${(value) => { set("provider")(value); look({ provider: value }); }} options=${[["", t("Choose")], ...providers.value.filter((one) => one.sign_in).map((one) => [one.id, said(one.label)])]} />` : null}
      ${seen ? html`<div class="stack" role="status"><b>${OUTCOMES.filter(([name]) => seen[name]).map(([name, words]) => words(seen[name])).join(", ") || t("Nothing to import")}</b>
        ${seen.accounts.slice(0, MOST_ROWS).map((row, n) => html`<span class="sm wrap" key=${n}>${row.label || row.where} <span class=${row.outcome === "failed" ? "bad" : "t3"}>${said(row.outcome)}${row.why || row.note ? ": " + said(row.why || row.note) : ""}</span></span>`)}
        ${seen.total > MOST_ROWS ? html`<span class="t3 sm">${t("and {n} more", { n: seen.total - MOST_ROWS })}</span>` : null}</div>` : null}
      <${Asks} ...${choice} />
    </div><//>`;
}

export function ExportFile() {
  const [form, setForm] = useState({ format: "omni", passphrase: "", again: "" });
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState(false);
  const set = (name) => (value) => setForm({ ...form, [name]: value });
  const withPassword = session.value && session.value.password_set;
  const save = async (event) => {
    event.preventDefault();
    setBusy(true);
    setWrong({});
    try {
      const proof = { [withPassword ? "password" : "admin_key"]: form.again };
      const told = await post("/api/accounts/export", { format: form.format, passphrase: form.passphrase, download: false, ...proof });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([told.content], { type: "application/json" }));
      link.download = told.filename;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      closeDialog();
      toast(counted(told.accounts, "{n} account written to {file}.", "{n} accounts written to {file}.", { file: told.filename }), { tone: "ok" });
    } catch (error) {
      if (["key_again", "wrong_password"].includes(error.code)) setWrong({ again: error.message });
      else if (error.param === "passphrase") setWrong({ passphrase: error.message });
      else oops(error);
    }
    setBusy(false);
  };
  return html`<${Dialog} title=${t("Export accounts")} onClose=${closeDialog} dirty=${!!form.again} foot=${html`<span class="grow" /><${Button} kind="primary" type="submit" form="export-form" busy=${busy} disabled=${!form.again}>${t("Export")}<//>`}>
    <form id="export-form" class="form" onSubmit=${save}>
      <${Select} label=${t("Format")} name="format" value=${form.format} onChange=${set("format")} options=${[["omni", t("omni-connector, with everything")], ["oneproxy", t("OneProxy's list")]]} />
      <${TextField} label=${t("Passphrase")} name="passphrase" secret value=${form.passphrase} onInput=${set("passphrase")} error=${wrong.passphrase} optional hint=${form.passphrase ? t("Without it nobody can read the file, you included.") : t("Without one the file holds working credentials in plain text.")} />
      <${TextField} label=${withPassword ? t("Password of this dashboard") : t("Admin key")} name="again" secret value=${form.again} onInput=${set("again")} error=${wrong.again} hint=${withPassword ? t("Once more, because credentials leave this machine's safe.") : t("It stands in the file admin.key of OMNI_HOME.")} />
    </form><//>`;
}
