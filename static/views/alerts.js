// Alerts: what is and was wrong with the accounts, and the channels that hear of it. Addresses go in and never come back.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { del, get, patch, post } from "../api.js";
import { absolute } from "../format.js";
import { alertMoves, resync } from "../live.js";
import { counted, parts, said, t } from "../texts.js";
import { Ago, Button, closeDialog, confirm, Dialog, Empty, html, oops, openDialog, Select, Skeleton, Status, Switch, TextField, toast } from "../ui.js";

const STATES = { open: [t("Open"), "bad", "triangle"], ended: [t("Over"), "ok", "circle"] };

export function EditChannel({ channel, kinds, alertKinds }) {
  const [form, setForm] = useState({ kind: channel ? channel.kind : kinds[0].id, name: channel ? channel.name : "", url: "", secret: "", kinds: channel ? channel.kinds : [] });
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState(false);
  const set = (name) => (value) => setForm({ ...form, [name]: value });
  const kind = kinds.find((one) => one.id === form.kind) || { label: channel ? channel.label : form.kind, example: "", signed: false };
  const toggle = (id) => set("kinds")(form.kinds.includes(id) ? form.kinds.filter((other) => other !== id) : [...form.kinds, id]);
  const save = async (event) => {
    event.preventDefault();
    if (!channel && !form.url.trim()) return setWrong({ url: t("The address is missing.") });
    const body = { name: form.name.trim(), kinds: form.kinds };
    if (form.url.trim()) body.url = form.url.trim();
    if (form.secret.trim() && kind.signed) body.secret = form.secret.trim();
    if (channel && !body.name) delete body.name;
    setBusy(true);
    try {
      if (channel) await patch(`/api/alerts/channels/${channel.id}`, body);
      else await post("/api/alerts/channels", { ...body, kind: form.kind });
      alertMoves.value += 1;
      closeDialog();
      toast(channel ? t("Saved.") : t("Added. The test button sends it a message."), { tone: "ok" });
    } catch (error) {
      setWrong({ [error.param in form ? error.param : "form"]: error.message });
      setBusy(false);
    }
    return undefined;
  };
  return html`<${Dialog} title=${channel ? t("Edit {name}", { name: channel.name }) : t("Add a channel")} sub=${t("Its address is a secret: it is stored encrypted and never shown again.")} width=${480} onClose=${closeDialog} dirty=${!!(form.url || form.secret)}
    foot=${html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="channel-form" busy=${busy}>${channel ? t("Save") : t("Add channel")}<//>`}>
    <form id="channel-form" class="form" onSubmit=${save}>
      ${channel ? null : html`<${Select} label=${t("Kind")} name="kind" value=${form.kind} onChange=${set("kind")} options=${kinds.map((one) => [one.id, one.label])} />`}
      <${TextField} label=${t("Address")} name="url" secret autofocus placeholder=${channel ? t("kept when left empty") : kind.example} value=${form.url} onInput=${set("url")} error=${wrong.url} hint=${channel ? t("now at {address}", { address: channel.hint }) : null} />
      ${kind.signed ? html`<${TextField} label=${t("Secret")} name="secret" secret optional placeholder=${channel && channel.signed ? t("kept when left empty") : ""} hint=${t("Signs the messages.")} value=${form.secret} onInput=${set("secret")} error=${wrong.secret} />` : null}
      <${TextField} label=${t("Name")} name="name" optional maxlength="64" value=${form.name} onInput=${set("name")} error=${wrong.name} />
      <fieldset><legend>${t("Alerts")}</legend><div class="chips">${Object.entries(alertKinds).map(([id, words]) => html`<label class="chip" key=${id}><input type="checkbox" checked=${form.kinds.includes(id)} onChange=${() => toggle(id)} />${said(words)}</label>`)}</div><div class="note">${t("None chosen: all.")}</div></fieldset>
      ${wrong.form || wrong.kind || wrong.kinds ? html`<div class="verdict poor" role="alert"><span>${wrong.form || wrong.kind || wrong.kinds}</span></div>` : null}
    </form><//>`;
}

async function change(work, done) {
  try {
    const answer = await work();
    alertMoves.value += 1;
    if (done) toast(done(answer), { tone: answer && answer.ok === false ? "bad" : "ok" });
  } catch (error) {
    oops(error);
  }
}

function remove(channel) {
  confirm({
    title: t("Remove {name}?", { name: channel.name }), action: t("Remove"), danger: true, body: t("It hears of no alert any more. Its address is forgotten."),
    onYes: () => change(() => del(`/api/alerts/channels/${channel.id}`)),
  });
}

function Channel({ channel, data }) {
  const [busy, setBusy] = useState(false);
  const at = `/api/alerts/channels/${channel.id}`;
  const test = async () => {
    setBusy(true);
    await change(() => post(`${at}/test`), (answer) => answer.message);
    setBusy(false);
  };
  return html`<tr class=${channel.enabled ? "" : "off"}>
    <td class="c-name"><div class="stack tight"><span class="cut strong">${channel.name}</span><span class="xs t3 cut">${channel.label} · ${channel.hint}</span>${channel.last_error ? html`<span class="under sm bad wrap">${channel.last_error}</span>` : null}</div></td>
    <td class="p3 t2 sm wrap">${channel.kinds.length ? channel.kinds.map((kind) => said(data.kinds[kind] || kind)).join(", ") : t("all alerts")}</td>
    <td class="p2 t2 wrap sm">${channel.last_error ? html`<span class="bad">${channel.last_error}</span>` : channel.last_ok_at ? parts("heard {ago}", { ago: html`<${Ago} at=${channel.last_ok_at} suffix=" ago" />` }) : html`<span class="t4">${t("nothing sent yet")}</span>`}</td>
    <td class="c-actions"><div class="row-actions">
      <${Button} small kind="ghost" icon="zap" label=${t("Test {name}", { name: channel.name })} busy=${busy} onClick=${test} />
      <${Button} small kind="ghost" icon="pencil" label=${t("Edit {name}", { name: channel.name })} onClick=${() => openDialog("edit-channel", { channel, kinds: data.channel_kinds, alertKinds: data.kinds })} />
      <${Button} small kind="ghost" icon="trash-2" label=${t("Remove {name}", { name: channel.name })} onClick=${() => remove(channel)} />
      <${Switch} on=${channel.enabled} label=${t("{name} hears of alerts", { name: channel.name })} onChange=${(enabled) => change(() => patch(at, { enabled }))} /></div></td></tr>`;
}

function told(alert, channels) {
  const names = Object.entries(alert.told).map(([id, one]) => `${(channels.find((channel) => channel.id === id) || { name: t("a removed channel") }).name}${one.failed ? ": " + one.failed : ""}`);
  const failed = Object.values(alert.told).filter((one) => one.failed).length;
  if (!names.length) return html`<span class="t4">${t("nobody")}</span>`;
  return html`<span title=${names.join("\n")}>${counted(names.length - failed, "{n} channel", "{n} channels")}${failed ? html`, <span class="bad">${t("{n} failed", { n: failed })}</span>` : null}</span>`;
}

function Past({ data }) {
  if (!data.alerts.length) return html`<${Empty} icon="circle-check" title=${t("Nothing is wrong")}>${t("An account that is locked, needs a sign-in or runs low shows here, and so does the moment when none can answer.")}<//>`;
  return html`<div class="sheet"><table class="grid"><thead><tr><th>${t("State")}</th><th>${t("What")}</th><th class="p2">${t("Since")}</th><th class="p3">${t("Over")}</th><th class="p3">${t("Told")}</th></tr></thead>
    <tbody>${data.alerts.map((alert) => html`<tr key=${alert.id} class=${alert.state === "open" ? "" : "off"}>
      <td><${Status} words=${STATES[alert.state] || [alert.state, "mute", "ring"]} /></td>
      <td class="wrap"><div class="stack tight"><span class="strong">${said(alert.title)}</span><span class="t2 sm">${alert.message}</span></div></td>
      <td class="p2 t2 nowrap"><${Ago} at=${alert.at} suffix=" ago" /></td>
      <td class="p3 t2 nowrap" title=${absolute(alert.ended_at)}>${alert.ended_at ? html`<${Ago} at=${alert.ended_at} suffix=" ago" />` : html`<span class="t4">–</span>`}</td>
      <td class="p3 t2">${told(alert, data.channels)}</td></tr>`)}</tbody></table></div>`;
}

export function Alerts() {
  const [data, setData] = useState(null);
  useEffect(() => {
    get("/api/alerts").then(setData).catch((error) => { oops(error); setData((old) => old || { alerts: [], channels: [], kinds: {}, channel_kinds: [] }); });
  }, [resync.value, alertMoves.value]);
  const open = data ? data.alerts.filter((alert) => alert.state === "open").length : 0;
  const canAdd = data && data.channel_kinds.length;
  const add = html`<${Button} kind="primary" icon="plus" disabled=${!canAdd} onClick=${() => openDialog("edit-channel", { kinds: data.channel_kinds, alertKinds: data.kinds })}>${t("Add channel")}<//>`;
  return html`<div class="page">
    <div class="page-head"><h1>${t("Alerts")}</h1>${data ? html`<span class="sub">${open ? t("{n} open", { n: open }) : t("none open")}</span>` : null}<div class="actions">${data && data.channels.length ? add : null}</div></div>
    <section class="section"><div class="section-head"><h2>${t("Channels")}</h2><span class="t3 sm">${t("each hears of an alert once, and when it is over")}</span></div>
      ${!data ? html`<${Skeleton} rows=${2} />` : !data.channels.length ? html`<${Empty} icon="zap" title=${t("Nobody is told yet")} action=${add}>${t("DingTalk, Slack, Feishu, Lark, WeCom or a webhook of yours can hear when an account is locked, runs low or needs a sign-in.")}<//>`
      : html`<div class="sheet"><table class="grid keys"><thead><tr><th>${t("Channel")}</th><th class="p3">${t("Hears of")}</th><th class="p2">${t("Last message")}</th><th><span class="sr">${t("Actions")}</span></th></tr></thead>
        <tbody>${data.channels.map((channel) => html`<${Channel} key=${channel.id} channel=${channel} data=${data} />`)}</tbody></table></div>`}</section>
    <section class="section"><div class="section-head"><h2>${t("Lately")}</h2></div>${data ? html`<${Past} data=${data} />` : html`<${Skeleton} />`}</section>
  </div>`;
}
