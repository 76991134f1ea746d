// Every model the connected accounts serve, with its thinking levels: search it, copy its name.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { connect, providerName } from "../actions.js";
import { get } from "../api.js";
import { exact, num } from "../format.js";
import { accounts, providers, ruleMoves } from "../live.js";
import { Button, copy, Empty, html, Icon, oops, openDialog, Skeleton } from "../ui.js";
import { replaceParams } from "../route.js";
import { counted, said, t } from "../texts.js";

const named = (id) => said(providerName(id));

const SHOWN = 300;
const VARIANT = /^([^/:]+)\/(none|minimal|low|medium|high|xhigh|max)\/(.+)$/;

/** One row a model, its thinking levels on it as names to copy. Levels are what the server says of a model (`levels`: provider →
 *  words) and what an account lists as models of their own ("openai/high/gpt-5.5", as another omni-connector does). */
function grouped(models) {
  const rows = new Map(models.map((model) => [model.id, { ...model, variants: Object.entries(model.levels || {}).flatMap(([head, levels]) => levels.map((level) => ({ head, level, name: `${head}/${level}/${model.id}` }))) }]));
  for (const { id } of models) {
    const [, head, level, bare] = VARIANT.exec(id) || [];
    const model = level && (rows.get(`${head}/${bare}`) || rows.get(bare));
    if (!model) continue;
    if (!model.variants.some((variant) => variant.name === id)) model.variants.push({ head, level, name: id });
    rows.delete(id);
  }
  return [...rows.values()];
}

function Levels({ model }) {
  const heads = [...new Set(model.variants.map((variant) => variant.head))];
  const chips = (head) => model.variants.filter((variant) => variant.head === head).map(({ level, name }) => html`<button type="button" class="level" key=${name} title=${t("Copy {name}", { name })} aria-label=${t("Copy {name}", { name })} onClick=${() => copy(name, name)}>${level}</button>`);
  const group = { role: "group", "aria-label": t("Thinking levels of {name}", { name: model.id }) };
  if (!heads.length) return null;
  if (heads.length === 1) return html`<div class="levels" ...${group}><span class="t4 xs" title=${t("A level goes into the model's name: provider/level/model")}>${t("thinking")}</span>${chips(heads[0])}</div>`;
  return html`<details class="more levels-of"><summary><${Icon} name="chevron-right" size=${11} />${t("thinking, at {n} providers", { n: heads.length })}</summary><div ...${group}>${heads.map((head) => html`<div class="levels" key=${head}><span class="t4 xs">${named(head)}</span>${chips(head)}</div>`)}</div></details>`;
}

/** The server's words for what a model may be asked for. */
const CAN = {
  images: t("images"), documents: t("documents"), audio: t("sound"), thinking: t("thinks"), completions: t("text completion"), embeddings: t("embeddings"),
  image: t("makes images"), speech: t("speaks"), transcription: t("transcribes"), moderation: t("moderates"), rerank: t("reranks"), ocr: t("reads pictures"),
};
const capabilities = (model) => (model.capabilities || []).map((word) => CAN[word] || word);

function Can({ model }) {
  const list = capabilities(model);
  if (!list.length) return html`<span class="t4 nowrap">${t("unknown")}</span>`;
  return html`<span class="can" title=${t("What may be sent to it. Of images, documents and sound, its provider takes them for some of its models.")}>${list.map((words) => html`<span class="tag kind" key=${words}>${words}</span>`)}</span>`;
}

function price(value) {
  if (value === null || value === undefined) return html`<span class="t4">${t("unknown")}</span>`;
  const dollars = Number(value);
  return dollars === 0 ? "$0" : "$" + (dollars < 0.1 ? dollars.toPrecision(2) : dollars.toFixed(2));
}

/** Opens what is set for exactly this model everywhere, else an empty form with the present price in it, pale. */
async function setPrice(model) {
  try {
    const { prices } = await get("/api/prices");
    const mine = prices.find((one) => one.pattern === model.id && !one.account && !one.provider);
    openDialog("edit-price", mine ? { price: mine } : { model: model.id, list: { input: model.input_usd_per_mtok, output: model.output_usd_per_mtok } });
  } catch (error) {
    oops(error);
  }
}

const PRICE_OF = {
  read: (own) => (own ? t("Your own price, per million tokens read. Press to set your own") : t("The price list's, per million tokens read. Press to set your own")),
  written: (own) => (own ? t("Your own price, per million tokens written. Press to set your own") : t("The price list's, per million tokens written. Press to set your own")),
};

function Price({ model, value, what }) {
  const words = PRICE_OF[what](model.price_override);
  return html`<button type="button" class="row-link price" title=${words} aria-label=${t("Set the price of {name}", { name: model.id })} onClick=${() => setPrice(model)}>${price(value)}${model.price_override ? html`<${Icon} name="tag" size=${11} />` : null}</button>`;
}

export function Models({ route }) {
  const [models, setModels] = useState(null);
  const [all, setAll] = useState(false);
  const text = route.params.text || "";
  const shared = providers.value.map((provider) => `${provider.enabled}${JSON.stringify(provider.model_map)}`).join();
  const served = shared + accounts.value.map((account) => `${account.id}${account.enabled}${(account.models || []).length}/${(account.discovered || []).length}`).join();
  useEffect(() => {
    get("/api/provider-models").then((data) => setModels(grouped(data.models))).catch((error) => { oops(error); setModels((list) => list || []); });
  }, [served, ruleMoves.value]);
  const needles = text.toLowerCase().split(/\s+/).filter(Boolean);
  const list = (models || []).filter((model) => needles.every((needle) => `${model.id} ${model.providers.join(" ")} ${model.accounts.join(" ")} ${model.variants.map((variant) => variant.name).join(" ")} ${(model.capabilities || []).join(" ")} ${capabilities(model).join(" ")}`.toLowerCase().includes(needle)));
  const shown = all ? list : list.slice(0, SHOWN);
  return html`<div class="page">
    <div class="page-head"><h1>${t("Models")}</h1>${models && models.length ? html`<span class="sub">${text ? counted(models.length, "{found} of {n} model", "{found} of {n} models", { found: list.length }) : counted(models.length, "{n} model", "{n} models")}</span><div class="actions"><a class="btn ghost" href="#/prices"><${Icon} name="tag" />${t("Your prices")}</a></div>` : null}</div>
    <div class="filters" role="search"><label class="search wide"><${Icon} name="search" size=${14} /><span class="sr">${t("Search models")}</span><input type="search" spellcheck=${false} autocapitalize="off" class="input small" data-filter placeholder=${t("Search models, providers, accounts")} value=${text} onInput=${(event) => replaceParams({ text: event.currentTarget.value })} /><kbd>/</kbd></label></div>
    ${models === null ? html`<${Skeleton} rows=${9} />` : !models.length ? html`<${Empty} icon="box" title=${t("No model yet")} action=${html`<${Button} kind="primary" icon="plus" onClick=${() => connect()}>${t("Connect account")}<//>`}>${t("Models appear as soon as an account is connected.")}<//>`
    : !list.length ? html`<${Empty} icon="search" title=${t("No model matches “{text}”", { text })} action=${html`<${Button} onClick=${() => replaceParams({})}>${t("Clear search")}<//>`} />`
    : html`<div class="sheet"><table class="grid models"><thead><tr><th>${t("Model")}</th><th class="p2">${t("Provider")}</th><th class="p3">${t("Accounts")}</th><th class="p4">${t("Can")}</th><th class="num p2">${t("Window")}</th><th class="num p3" title=${t("US dollars per million tokens read")}>${t("In / M")}</th><th class="num p3" title=${t("US dollars per million tokens written")}>${t("Out / M")}</th></tr></thead>
      <tbody>${shown.map((model) => html`<tr key=${model.id}><td class="c-name"><button type="button" class="row-link copyable mono cut" data-row title=${t("Copy the name")} onClick=${() => copy(model.id, model.id)}><span class="cut">${model.id}</span><${Icon} name="copy" size=${13} /></button><${Levels} model=${model} /></td>
        <td class="p2 t2 wrap">${model.providers.map(named).join(", ")}</td><td class="p3 t2 wrap">${model.accounts.join(", ")}</td>
        <td class="p4"><${Can} model=${model} /></td>
        <td class="num p2" title=${model.context_window ? t("{n} tokens", { n: exact(model.context_window) }) : null}>${model.context_window ? num(model.context_window) : html`<span class="t4">${t("unknown")}</span>`}</td>
        <td class="num p3"><${Price} model=${model} value=${model.input_usd_per_mtok} what="read" /></td><td class="num p3"><${Price} model=${model} value=${model.output_usd_per_mtok} what="written" /></td></tr>`)}</tbody></table></div>
      ${list.length > shown.length ? html`<div class="list-foot"><${Button} onClick=${() => setAll(true)}>${t("Show all {n}", { n: list.length })}<//></div>` : null}`}
  </div>`;
}
