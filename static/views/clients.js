// Programs of this machine: where each points, what setting it up would change, done and taken back by one button; and the words for an agent.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { ApiError, get, post } from "../api.js";
import { resync } from "../live.js";
import { style } from "../pieces.js";
import { Button, closeDialog, Copy, Dialog, Dot, Empty, html, Icon, openDialog, oops, Skeleton, Status, TextField, toast } from "../ui.js";
import { signal } from "../vendor/signals.mjs";
import { counted, said, t } from "../texts.js";

await style("/static/css/late.css");

const STATES = {
  "points here": [t("Points here"), "ok", "circle"],
  "points elsewhere": [t("Points elsewhere"), "accent", "half"],
  "not set up": [t("Not set up"), "mute", "ring"],
  unreadable: [t("Unreadable"), "bad", "diamond"],
  "by hand": [t("By hand"), "mute", "square"],
};
const moved = signal(0); // Rises when a program was set up or taken back: the list is read again.
const wordsOf = (client) => STATES[client.state] || [client.state, "mute", "ring"];

// ------------------------------------------------------------------ a diff
const kindOf = (line) => (/^(\+\+\+|---)/.test(line) ? "file" : line.startsWith("@@") ? "place" : line.startsWith("+") ? "plus" : line.startsWith("-") ? "minus" : "");

/** Added lines begin with "+", removed ones with "-": the colour only helps. */
function Diff({ text }) {
  return html`<pre class="diff" tabindex="0" aria-label=${t("What changes")}>${text.replace(/\n$/, "").split("\n").map((line, i) => html`<span key=${i} class=${kindOf(line)}>${line || " "}\n</span>`)}</pre>`;
}

const Steps = ({ list }) => (list && list.length ? html`<ol class="q-steps">${list.map((step) => html`<li key=${step} class="wrap">${said(step)}</li>`)}</ol>` : null);

function Wrong({ error }) {
  return error ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${error}</span></div>` : null;
}

// ------------------------------------------------------------------ setting up
function Done({ told }) {
  const { proof, key, steps, notes, applied, files } = told;
  const tone = proof.ok === true ? ["good", "circle", "ok"] : proof.ok === false ? ["poor", "diamond", "bad"] : ["caution", "half", "warn"];
  return html`<div class="stack gap12">
    <div class=${"verdict " + tone[0]} role="status"><${Dot} shape=${tone[1]} tone=${tone[2]} /><span class="wrap">${applied ? `${files.length ? counted(files.length, "{n} file written.", "{n} files written.") : t("Nothing had to change.")} ` : ""}${said(proof.words)}</span></div>
    ${key.key ? html`<div class="stack"><p class="once"><${Icon} name="info" size=${14} /><span>${t("Shown once. Paste it where the steps say.")}</span></p><div class="keybox"><code>${key.key}</code><${Copy} text=${key.key} what=${t("Key")} /></div></div>` : null}
    <${Steps} list=${steps} />
    ${(notes || []).map((note) => html`<p key=${note} class="note wrap">${said(note)}</p>`)}</div>`;
}

export function SetUpClient({ client }) {
  const [plan, setPlan] = useState(null);
  const [model, setModel] = useState("");
  const [told, setTold] = useState(null);
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const send = (more) => post(`/api/clients/${client.name}/setup`, { startup: true, ...(model.trim() ? { model: model.trim() } : {}), ...more });
  const look = async () => {
    try {
      setPlan(await send({ dry_run: true }));
      setWrong("");
    } catch (error) {
      setWrong(error.message);
    }
  };
  useEffect(() => {
    const timer = setTimeout(look, plan ? 300 : 0);
    return () => clearTimeout(timer);
  }, [model]);
  const run = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      setTold(await send({}));
      moved.value += 1;
    } catch (error) {
      setWrong(error.message);
    }
    setBusy(false);
  };
  const writes = plan && plan.diff;
  const foot = told ? html`<span class="grow" /><${Button} kind="primary" onClick=${closeDialog}>${t("Done")}<//>` : html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="setup-form" busy=${busy} disabled=${!plan || wrong}>${writes || !plan ? t("Set up") : plan.steps.length ? t("Make a key") : t("Test it")}<//>`;
  return html`<${Dialog} title=${t("Set up {name}", { name: client.label })} sub=${t("Your former files are kept beside the new ones, and one real request proves it.")} width=${680} onClose=${closeDialog} dirty=${!!model} locked=${busy} notice=${wrong ? html`<${Wrong} error=${wrong} />` : null} foot=${foot}>
    ${told ? html`<${Done} told=${told} />` : html`<form id="setup-form" class="form" onSubmit=${run}>
      <${TextField} label=${t("Model")} name="model" optional placeholder=${plan ? plan.model : "auto"} hint=${t("What the program asks for.")} value=${model} onInput=${setModel} />
      ${!plan ? (wrong ? null : html`<${Skeleton} rows=${4} />`) : html`
        ${plan.diff ? html`<${Diff} text=${plan.diff} />` : html`<p class="t2">${plan.steps.length ? t("There is no file to write. These are the steps:") : t("Everything is as it should be: nothing would change.")}</p>`}
        <${Steps} list=${plan.steps} />
        <p class="note">${plan.key.new ? t("A key of its own is made for it; the books show what it spends.") : t("The key {hint} is used again.", { hint: plan.key.hint })}</p>
        ${plan.notes.map((note) => html`<p key=${note} class="note wrap">${said(note)}</p>`)}`}</form>`}<//>`;
}

// ------------------------------------------------------------------ taking back
export function UndoClient({ client }) {
  const [plan, setPlan] = useState(null);
  const [later, setLater] = useState(false); // The file was changed since: only our own lines go.
  const [clash, setClash] = useState("");
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const send = (more) => post(`/api/clients/${client.name}/undo`, { keep_later: later, ...more });
  useEffect(() => {
    send({ dry_run: true }).then((told) => { setPlan(told); setWrong(""); }, (error) => (error instanceof ApiError && error.status === 409 && !later ? setClash(error.message) : setWrong(error.message)));
  }, [later]);
  const run = async () => {
    setBusy(true);
    try {
      const told = await send({});
      moved.value += 1;
      closeDialog();
      toast(`${t("{name} is as it was before.", { name: client.label })}${told.key_revoked ? ` ${t("Its key is revoked.")}` : ""}`, { tone: "ok" });
    } catch (error) {
      setWrong(error.message);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${t("Take {name} back", { name: client.label })} sub=${t("Its files as they were before; a key that was made for it is revoked.")} width=${680} onClose=${closeDialog} locked=${busy} notice=${wrong ? html`<${Wrong} error=${wrong} />` : null}
    foot=${html`<span class="grow" /><${Button} kind="ghost" onClick=${closeDialog}>${t("Cancel")}<//>${clash && !later ? html`<${Button} kind="primary" onClick=${() => setLater(true)}>${t("Take out only our lines")}<//>` : html`<${Button} kind="primary" autofocus busy=${busy} disabled=${!plan} onClick=${run}>${t("Take it back")}<//>`}`}>
    <div class="stack gap12">${clash && !later ? html`<div class="verdict caution" role="alert"><${Dot} shape="half" tone="warn" /><span class="wrap">${clash}</span></div>` : null}
      ${plan ? html`${plan.diff ? html`<${Diff} text=${plan.diff} />` : html`<p class="t2">${t("No file has to change.")}</p>`}` : wrong || clash ? null : html`<${Skeleton} rows=${4} />`}</div><//>`;
}

// ------------------------------------------------------------------ the list
const STEPS_FOR = (name) => t("Steps for {name}", { name });
const CHECK = (name) => t("Check {name}", { name });
const SET_UP = (name) => t("Set up {name}", { name });

function Row({ client, here }) {
  const there = client.url && client.state !== "points here" ? client.url : "";
  const hand = client.state === "by hand";
  return html`<tr class=${client.installed || hand ? "" : "off"}>
    <td class="c-name"><span class="stack none"><span class="strong cut">${client.label}</span><span class="xs t3 cut">${client.installed ? t("on this machine") : hand ? t("set up in the program itself") : t("not found on this machine")}</span></span></td>
    <td class="c-state"><span class="stack none"><${Status} words=${wordsOf(client)} title=${client.why} />${client.why || client.blocked ? html`<span class="sm t3 wrap">${client.why || client.blocked}</span>` : null}</span></td>
    <td class="p2 c-where">${there ? html`<code class="t2 cut" title=${there}>${there}</code>` : client.state === "points here" ? html`<span class="t3 sm cut">${[client.model && t("asks for {model}", { model: client.model }), client.key_hint].filter(Boolean).join(" · ")}</span>` : html`<span class="t4">–</span>`}</td>
    <td class="c-actions"><div class="row-actions">
      ${client.undoable ? html`<${Button} small kind="ghost" icon="undo-2" onClick=${() => openDialog("undo-client", { client })}>${t("Undo")}<//>` : null}
      <${Button} small disabled=${client.blocked && !hand} label=${(hand ? STEPS_FOR : client.state === "points here" ? CHECK : SET_UP)(client.label)} onClick=${() => openDialog("setup-client", { client, here })}>${hand ? t("Steps") : client.state === "points here" ? t("Check") : t("Set up")}<//></div></td></tr>`;
}

function Agent() {
  const [text, setText] = useState(null);
  useEffect(() => {
    get("/api/agent-prompt").then((data) => setText(data.text)).catch(oops);
  }, []);
  return html`<section class="section"><div class="section-head"><h2>${t("Tell your agent")}</h2><span class="t3 sm">${t("paste it to any coding agent: it sets its tool up by itself")}</span></div>
    ${text === null ? html`<${Skeleton} rows=${3} />` : html`<div class="snippets"><div class="snippet-tabs"><span class="t3 sm grow agent-title">${t("For an agent on this machine")}</span><${Copy} text=${text} what=${t("Text")} kind="">${t("Copy")}<//></div><pre tabindex="0" aria-label=${t("Text for an agent")} class="wrapping">${text}</pre></div>`}</section>`;
}

const RANK = { "points elsewhere": 1, unreadable: 0, "not set up": 2, "points here": 3, "by hand": 5 };

export function Clients() {
  const [told, setTold] = useState(null);
  const [failed, setFailed] = useState("");
  const load = () => get("/api/clients").then((data) => { setTold(data); setFailed(""); }).catch((error) => setFailed(error.message));
  useEffect(() => {
    load();
  }, [resync.value, moved.value]);
  const place = (client) => (client.installed || client.state === "by hand" ? 0 : 10) + (RANK[client.state] ?? 4);
  const list = told ? [...told.clients].sort((a, b) => place(a) - place(b)) : [];
  const pointing = list.filter((client) => client.state === "points here").length;
  return html`<div class="page">
    <div class="page-head"><h1>${t("Clients")}</h1>${told ? html`<span class="sub">${pointing ? counted(pointing, "{n} program points here", "{n} programs point here") : t("programs that could point here")}</span>
      <div class="actions"><span class="addr slim"><span class="t3 sm">${t("Address")}</span><code class="cut">${told.url}</code><${Copy} text=${told.url} what=${t("Address")} /></span></div>` : null}</div>
    ${failed ? html`<${Empty} icon="app-window" title=${t("The programs could not be looked at")} action=${html`<${Button} onClick=${load}>${t("Try again")}<//>`}>${failed}<//>`
    : !told ? html`<${Skeleton} rows=${7} />` : !list.length ? html`<${Empty} icon="app-window" title=${t("No home folder is known")}>${t("This server does not know whose programs it should look at. The words below work all the same.")}<//>`
    : html`<div class="sheet"><table class="grid clients desk"><thead><tr><th scope="col">${t("Program")}</th><th scope="col">${t("State")}</th><th scope="col" class="p2">${t("Where it points")}</th><th scope="col"><span class="sr">${t("Actions")}</span></th></tr></thead><tbody>${list.map((client) => html`<${Row} key=${client.name} client=${client} here=${told.url} />`)}</tbody></table></div>`}
    <${Agent} />
  </div>`;
}
