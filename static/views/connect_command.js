// The dialog that connects or edits a local command: a preset or a list of arguments, tested before it is saved.
import { useEffect, useRef, useState } from "../vendor/hooks.mjs";
import { saveAccount } from "../actions.js";
import { ApiError, post } from "../api.js";
import { ms } from "../format.js";
import { fieldOf, limitBody, LimitFields, limitForm, limitProblems, showField } from "../limits.js";
import { accounts } from "../live.js";
import { Button, closeDialog, Dialog, Dot, Field, html, Icon, Prose, Select, TextField, toast } from "../ui.js";
import { parts, said, t } from "../texts.js";

const OWN = "generic";
const RATES = ["rpm", "tpm"];
const OUTPUTS = [
  ["text", t("Text: all of it is the answer")],
  ["json-pointer", t("JSON: one document")],
  ["json-lines", t("JSON lines: one document a line")],
];
const INPUTS = [
  ["text", t("The whole conversation, as text")],
  ["last", t("The user's last message")],
  ["none", t("Nothing: {prompt} stands in an argument")],
];
const words = (text) => text.split(/[\s,]+/).filter(Boolean);
const whole = (text, least) => (/^-?\d+$/.test(text.trim()) && Number(text) >= least ? Number(text) : null);

/** An argument as it is edited: a text, or a group that is left out where one of its placeholders is empty, as JSON. */
const shown = (argument) => (Array.isArray(argument) ? JSON.stringify(argument) : argument);
function meant(text) {
  if (!text.startsWith("[")) return text;
  try {
    const group = JSON.parse(text);
    return Array.isArray(group) && group.every((part) => typeof part === "string") ? group : text;
  } catch {
    return text;
  }
}

function proposeLabel(base) {
  const taken = new Set(accounts.value.map((account) => account.label));
  let label = base;
  for (let n = 2; taken.has(label); n++) label = `${base}-${n}`;
  return label;
}

function filled(provider, account) {
  const presets = Object.keys(provider.command || {});
  const command = (account && account.options && account.options.command) || {};
  const preset = command.preset || (command.argv && presets.length > 1 ? OWN : presets[0]) || OWN;
  const output = command.output || {};
  return {
    label: account ? account.label : proposeLabel(preset === OWN ? provider.id : preset),
    preset,
    argv: command.argv ? command.argv.map(shown) : null,
    program: command.program || "",
    models: ((account && account.models) || []).join(", "),
    input: command.input || "text",
    output: output.kind || "text",
    pointer: output.text || "",
    env: (command.env || []).join(", "),
    ...limitForm(account),
    max_in_flight: command.max_in_flight ? String(command.max_in_flight) : "",
    timeout_s: command.timeout_s ? String(command.timeout_s) : "",
    priority: account ? String(account.priority) : "0",
    prefix: (account && account.prefix) || "",
  };
}

/** The arguments that will be run: the user's own, else the preset's. */
const argumentsOf = (form, provider) => form.argv || ((provider.command || {})[form.preset] || { argv: [] }).argv.map(shown);

function check(form, provider, account) {
  const wrong = limitProblems(form, RATES);
  const argv = argumentsOf(form, provider);
  const preset = (provider.command || {})[form.preset];
  if (!form.label.trim()) wrong.label = t("Every account needs a name.");
  else if (accounts.value.some((other) => other.label === form.label.trim() && (!account || other.id !== account.id))) wrong.label = t("Another account is already called {name}.", { name: form.label.trim() });
  if (!argv.length || !argv[0].trim()) wrong.argv = t("Which program? Its name comes first.");
  else if (preset && preset.edit && argv.includes(preset.edit)) wrong.argv = t("Put your own value in place of {what}.", { what: preset.edit });
  if (form.output !== "text" && !form.pointer.startsWith("/")) wrong.pointer = t("A JSON pointer, such as /result/text.");
  if (form.max_in_flight.trim() && whole(form.max_in_flight, 1) === null) wrong.max_in_flight = t("A whole number from 1.");
  if (form.timeout_s.trim() && whole(form.timeout_s, 1) === null) wrong.timeout_s = t("Seconds, from 1.");
  if (whole(form.priority, -1000) === null) wrong.priority = t("A whole number.");
  return wrong;
}

/** `options.command`: what the dialog does not show stays as it is. */
function command(form, provider, account) {
  const before = (account && account.options && account.options.command) || {};
  const known = form.preset !== OWN;
  const out = { ...before };
  for (const name of ["preset", "argv", "program", "env", "max_in_flight", "timeout_s"]) delete out[name];
  if (known && form.preset !== provider.id) out.preset = form.preset;
  if (form.argv) out.argv = form.argv.map(meant);
  if (form.program.trim()) out.program = form.program.trim();
  if (form.env.trim()) out.env = words(form.env);
  if (form.max_in_flight.trim()) out.max_in_flight = whole(form.max_in_flight, 1);
  if (form.timeout_s.trim()) out.timeout_s = whole(form.timeout_s, 1);
  if (known) return out;
  out.input = form.input;
  if (form.output === "text") delete out.output;
  else out.output = { ...(before.output || {}), kind: form.output, text: form.pointer };
  return out;
}

function body(form, provider, account) {
  const { budget, rpm, tpm } = limitBody(form, account); // How many run at once, the command itself says.
  const out = { label: form.label.trim(), models: words(form.models), prefix: form.prefix.trim(), priority: whole(form.priority, -1000), budget, rpm, tpm };
  const chosen = command(form, provider, account);
  const options = { ...((account && account.options) || {}) };
  delete options.command;
  if (Object.keys(chosen).length) options.command = chosen;
  out.options = options;
  return account ? out : { provider: provider.id, auth: "cli", ...out };
}

/** An edited account is named: it keeps the values that are masked here. */
const asTried = (form, provider, account) => ({ provider: provider.id, auth: "cli", ...body(form, provider, account), ...(account ? { id: account.id } : {}) });

function Arguments({ values, error, onChange }) {
  const set = (at, text) => onChange(values.map((value, index) => (index === at ? text : value)));
  return html`<${Field} label=${t("Program and arguments")} error=${error}
    hint=${parts("One a line; no shell is involved. {places} stand for what is asked.", { places: html`<span class="mono">${"{model} {system} {prompt}"}</span>` })}>${(id, note) => html`<div class="stack" id=${id} role="group" aria-describedby=${note}>
    ${values.map((value, at) => html`<div class="row-actions" key=${at}><input class="input mono grow" name=${at ? null : "argv"} aria-label=${at ? t("Argument {n}", { n: at }) : t("Program")} spellcheck=${false} autocapitalize="off" value=${value} onInput=${(event) => set(at, event.currentTarget.value)} />
      <${Button} small icon="x" kind="ghost" label=${at ? t("Remove argument {n}", { n: at }) : t("Remove the program")} onClick=${() => onChange(values.filter((_, index) => index !== at))} /></div>`)}
    <div><${Button} small icon="plus" onClick=${() => onChange([...values, ""])}>${t("Add argument")}<//></div></div>`}<//>`;
}

function Verdict({ result, warned, wrong }) {
  if (wrong) return html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${wrong}</span></div>`;
  if (result && result.ok) return html`<div class="verdict good" role="status"><${Dot} shape="circle" tone="ok" /><div class="stack tight"><span class="strong">${t("Works")}${result.latency_ms ? ` · ${ms(result.latency_ms)}` : ""}</span><span class="sm t2 wrap">${result.message}</span></div></div>`;
  const told = result ? html`<div class="verdict poor" role="alert"><${Dot} shape="diamond" tone="bad" /><span class="wrap">${result.message}</span></div>` : null;
  return html`${told}${warned ? html`<div class="verdict caution" role="alert"><${Dot} shape="half" tone="warn" /><span>${result ? t("The test failed.") : t("This command has not been tested.")} ${t("It can be saved, but it may only fail at the first request.")}</span></div>` : null}`;
}

export function CommandForm({ provider, account, focus, onBack }) {
  const [form, setForm] = useState(() => filled(provider, account));
  const [tried, setTried] = useState(false);
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState("");
  const [result, setResult] = useState(null);
  const [warned, setWarned] = useState(false);
  const [dirty, setDirty] = useState(false);
  const [named, setNamed] = useState(false);
  const ref = useRef(null);
  const presets = Object.entries(provider.command || {});
  const preset = (provider.command || {})[form.preset];
  const own = form.preset === OWN;
  const argv = argumentsOf(form, provider);
  const change = (changes) => {
    const next = { ...form, ...changes };
    setForm(next);
    setDirty(true);
    setNamed(named || ("label" in changes && !("preset" in changes)));
    setWarned(false);
    setResult(null);
    if (tried) setWrong(check(next, provider, account));
  };
  const set = (name) => (value) => change({ [name]: value });
  // A name that nobody typed follows the choice.
  const choose = (name) => change({ preset: name, argv: null, ...(account || named ? {} : { label: proposeLabel(name === OWN ? provider.id : name) }) });
  useEffect(() => {
    const field = ref.current.querySelector(focus ? `[name=${focus}]` : "select, input");
    if (field) field.focus();
  }, []);

  const valid = () => {
    const found = check(form, provider, account);
    setTried(true);
    setWrong(found);
    const first = Object.keys(found)[0];
    if (first) showField(ref.current, first);
    return !first;
  };
  const refuse = (error) => {
    const field = error instanceof ApiError && error.status === 409 ? "label" : fieldOf(error.param);
    setWrong({ [field in form ? field : "form"]: error.message });
    showField(ref.current, field);
  };
  const runTest = async () => {
    if (!valid()) return;
    setBusy("test");
    try {
      setResult(await post("/api/accounts/test", asTried(form, provider, account)));
    } catch (error) {
      refuse(error);
    }
    setBusy("");
  };
  const save = async (event) => {
    if (event) event.preventDefault();
    if (!valid()) return;
    if (!account && !(result && result.ok) && !warned) return setWarned(true);
    setBusy("save");
    try {
      const saved = await saveAccount(account ? account.id : null, body(form, provider, account));
      closeDialog();
      toast(account ? t("{name} saved.", { name: saved.label }) : t("{name} is connected.", { name: saved.label }), { tone: "ok" });
    } catch (error) {
      refuse(error);
      setBusy("");
    }
  };

  const text = (name, label, more = {}) => html`<${TextField} label=${label} name=${name} value=${form[name]} onInput=${set(name)} error=${wrong[name]} ...${more} />`;
  const foot = html`<${Button} icon="zap" busy=${busy === "test"} onClick=${runTest}>${t("Test")}<//><span class="grow" />
    ${onBack ? html`<${Button} kind="ghost" onClick=${onBack}>${t("Back")}<//>` : null}
    <${Button} kind="primary" type="submit" form="command-form" busy=${busy === "save"}>${warned ? t("Save anyway") : account ? t("Save") : t("Connect")}<//>`;
  const notice = result || warned || wrong.form ? html`<${Verdict} result=${result} warned=${warned} wrong=${wrong.form} />` : null;
  const lines = argv.map((part) => (/\s|^$/.test(part) ? JSON.stringify(part) : part)).join(" ");

  return html`<${Dialog} title=${account ? t("Edit {name}", { name: account.label }) : t("Connect {name}", { name: said(provider.label) })} sub=${t("A program of this machine answers, behind every client format.")} width=${600} onClose=${closeDialog} dirty=${dirty} notice=${notice} foot=${foot}>
    <form id="command-form" ref=${ref} class="form" onSubmit=${save} autocomplete="off">
      ${presets.length > 1 ? html`<${Select} label=${t("Command")} name="preset" value=${form.preset} onChange=${choose} options=${presets.map(([name, it]) => [name, said(it.label)])} hint=${preset ? said(preset.about) : null} />` : preset ? html`<p class="t2 sm">${said(preset.about)}</p>` : null}
      ${own || form.argv || (preset && preset.edit) ? html`<${Arguments} values=${argv} error=${wrong.argv} onChange=${set("argv")} />`
        : html`<${Field} label=${t("What is run")} hint=${html`<button type="button" class="btn link" onClick=${() => change({ argv })}>${t("Change the arguments")}</button>`}>${(id) => html`<div id=${id} class="run mono sm wrap">${lines}</div>`}<//>`}
      ${text("label", t("Name"), { hint: parts("Unique. Requests can ask for it: {name}", { name: html`<span class="mono">${form.label.trim() || provider.id}/model</span>` }), maxlength: 64 })}
      ${text("models", t("Models"), { optional: !own, hint: t("Best first. Requests name them, and they stand for {model}."), placeholder: (provider.default_models || []).join(", ") })}
      ${own ? html`<${Select} label=${t("It reads")} name="input" value=${form.input} onChange=${set("input")} options=${INPUTS} />
        <${Select} label=${t("It writes")} name="output" value=${form.output} onChange=${set("output")} options=${OUTPUTS} />
        ${form.output === "text" ? null : text("pointer", t("Where the answer stands"), { placeholder: "/result/text" })}` : null}
      ${provider.terms ? html`<p class="terms sm t3"><${Icon} name="shield-check" size=${14} /><span><${Prose} text=${said(provider.terms)} /></span></p>` : null}
      <details class="more" open=${focus === "amount"}><summary><${Icon} name="chevron-right" size=${14} />${t("Limits")}</summary><div class="form"><${LimitFields} form=${form} set=${set} wrong=${wrong} counts=${RATES} /></div></details>
      <details class="more"><summary><${Icon} name="chevron-right" size=${14} />${t("Advanced")}</summary><div class="form two">
        ${own ? null : text("program", t("Program"), { optional: true, placeholder: argv[0], hint: t("Its whole path, where it is not found by its name.") })}
        ${text("env", t("Environment"), { optional: true, hint: t("Names that are passed on to it. Keys never are.") })}
        ${text("max_in_flight", t("Most at once"), { placeholder: "2", hint: t("Others wait for a place."), inputmode: "numeric" })}
        ${text("timeout_s", t("Longest run"), { placeholder: "900", hint: t("Seconds."), inputmode: "numeric" })}
        ${text("prefix", t("Prefix"), { hint: t("Requests may say prefix/model."), optional: true })}
        ${text("priority", t("Priority"), { hint: t("Higher is tried first."), inputmode: "numeric" })}
      </div></details>
    </form><//>`;
}
