// The files of OMNI_HOME: what lies there, its text with secrets masked, and all of it as one archive. Asked for only when wanted.
import { useState } from "../vendor/hooks.mjs";
import { del, get } from "../api.js";
import { absolute } from "../format.js";
import { counted, said, t } from "../texts.js";
import { Ago, Button, confirm, html, oops, toast } from "../ui.js";

const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const at = (path) => path.split("/").map(encodeURIComponent).join("/");

async function download() {
  try {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await get("/api/upload-configs/download-all", { file: true }));
    link.download = "omni-connector-files.zip";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  } catch (error) {
    oops(error);
  }
}

export function Files() {
  const [files, setFiles] = useState(null);
  const [open, setOpen] = useState(null);
  const look = () => get("/api/upload-configs").then((told) => setFiles(told.files)).catch(oops);
  const show = (file) => get(`/api/upload-configs/view/${at(file.path)}`).then(setOpen).catch(oops);
  const remove = (file) => confirm({
    title: t("Remove {name}?", { name: file.path }), body: t("It does not come back."), action: t("Remove"), danger: true,
    onYes: async () => {
      try {
        await del(`/api/upload-configs/delete/${at(file.path)}`);
        toast(t("{name} is removed.", { name: file.path }));
        setOpen(null);
        await look();
      } catch (error) {
        oops(error);
      }
    },
  });
  const row = (file) => html`<tr key=${file.path}><td class="c-name"><span class="mono sm wrap" title=${said(file.why)}>${file.path}</span></td><td class="t2 p3">${said(file.kind)}</td>
    <td class="num t2">${size(file.bytes)}</td><td class="num t2 p3" title=${absolute(file.changed_at)}><${Ago} at=${file.changed_at} suffix=" ago" /></td>
    <td class="c-actions"><div class="row-actions">${file.shown ? html`<${Button} small kind="ghost" onClick=${() => show(file)}>${t("Show")}<//>` : null}${file.removable ? html`<${Button} small kind="ghost" onClick=${() => remove(file)}>${t("Remove")}<//>` : null}</div></td></tr>`;
  return html`<section class="section" aria-label=${t("Files")}><div class="section-head"><h2>${t("Files")}</h2>${files ? html`<span class="sub">${counted(files.length, "{n} file", "{n} files")}</span>` : null}</div>
    <div class="sheet">${files ? html`<table class="grid" aria-label=${t("Files of the installation")}><thead><tr><th>${t("File")}</th><th class="p3">${t("Kind")}</th><th class="num">${t("Size")}</th><th class="num p3">${t("Changed")}</th><th><span class="sr">${t("Actions")}</span></th></tr></thead><tbody>${files.map(row)}</tbody></table>`
    : html`<div class="pad stack"><p class="t3 sm">${t("Configuration, logs and copies in the home of this installation. Secrets are masked, keys are never opened.")}</p><div class="row-actions"><${Button} onClick=${look}>${t("List the files")}<//><${Button} kind="ghost" icon="download" onClick=${download}>${t("Download all")}<//></div></div>`}
    ${open ? html`<div class="pad stack"><p class="t2 sm"><span class="mono">${open.path}</span>${open.cut ? t(", its end") : ""}</p><pre class="code" tabindex="0">${open.content}</pre><div class="row-actions"><${Button} small onClick=${() => setOpen(null)}>${t("Close")}<//></div></div>` : null}</div></section>`;
}
