// Background work: what runs when, how it went, run now or pause.
import { useEffect, useState } from "../vendor/hooks.mjs";
import { get, post } from "../api.js";
import { absolute, span } from "../format.js";
import { link, now, resync, shownAccounts } from "../live.js";
import { left, style } from "../pieces.js";
import { parts, t } from "../texts.js";
import { Ago, Button, Empty, html, jobWords, oops, Skeleton, Status, toast } from "../ui.js";

await style("/static/css/late.css");

const EVERY_MS = 5000;
const SOON_MS = 1200; // By then a job that was told to run has mostly done so.
/** Kind → name and purpose, in words. What is not listed is shown as the server names it. */
const KINDS = {
  "cooldown-recovery": [t("Cooldowns"), t("Drops cooldowns that ran out long ago")],
  retention: [t("Clean-up"), t("Deletes old requests and kept answers")],
  "disk-guard": [t("Disk watch"), t("Warns, and makes room, when the disk is nearly full")],
  "usage-check": [t("Usage check"), t("Compares the sums of usage with the requests")],
  partitions: [t("Monthly tables"), t("Makes the tables of the coming months (PostgreSQL)")],
  snapshot: [t("Copy of the database"), t("Keeps the newest copies in backups")],
  recovery: [t("Recovery"), t("Settles requests of a process that was killed")],
  "token-refresh": [t("Sign-in renewal"), t("Renews a token before it ends")],
  quota: [t("Quota"), t("Asks the provider what is left")],
  probe: [t("Probe"), t("Asks an account that is out whether it is back")],
  reconcile: [t("Comparison"), t("Compares a day with the provider's own figures")],
  alert: [t("Alert"), t("Tells a channel")],
  "alert-watch": [t("Alert watch"), t("Looks whether anything needs telling")],
};
const ORDER = { dead: 0, running: 1, paused: 2, ready: 3, done: 4 };

function nameOf(job) {
  const [name, meaning] = KINDS[job.kind] || [job.kind.replaceAll("-", " "), ""];
  const account = shownAccounts.value.find((one) => job.key && job.key.split(":").includes(one.id));
  return { name, meaning, of: account ? account.label : job.key };
}

function Due({ job }) {
  if (job.state === "running") return html`<span class="accent">${t("now")}</span>`;
  if (!job.due_at || job.state === "paused" || job.state === "dead" || job.state === "done") return html`<span class="t4">–</span>`;
  return html`<time datetime=${new Date(job.due_at).toISOString()} title=${absolute(job.due_at)}>${job.due_at <= now.value ? t("due") : t("in {time}", { time: left(job.due_at - now.value) })}</time>`;
}

/** Good, failed and when, or that it never ran. */
function Result({ job }) {
  const when = { ago: html`<${Ago} at=${job.last_run_at} suffix=" ago" />` };
  if (job.last_error) return html`<span class="bad wrap" title=${job.last_error}>${job.attempts > 1 ? parts("failed {ago}, {n} times", { ...when, n: job.attempts }) : parts("failed {ago}", when)}</span>`;
  if (!job.last_run_at) return html`<span class="t4">${t("has not run yet")}</span>`;
  return html`<span class="t2">${job.last_ok_at && job.last_ok_at >= job.last_run_at ? parts("good {ago}", when) : parts("ran {ago}", when)}</span>`;
}

function Row({ job, busy, act }) {
  const { name, meaning, of } = nameOf(job);
  const words = of ? `${name} (${of})` : name;
  const paused = job.state === "paused" || job.state === "dead";
  return html`<tr class=${paused ? "off" : ""}>
    <td class="c-name"><span class="stack none"><span class="flex gap5"><span class="strong cut" title=${job.kind}>${name}</span>${of ? html`<span class="t3 cut">${of}</span>` : null}</span><span class="xs t3 cut">${meaning}</span>${job.last_error ? html`<span class="sm bad wrap clamp">${job.last_error}</span>` : null}</span></td>
    <td class="c-state"><${Status} words=${jobWords(job)} /></td>
    <td class="p3 t2 nowrap">${job.interval_s ? t("every {time}", { time: span(job.interval_s * 1000) }) : html`<span class="t4">${t("by need")}</span>`}</td>
    <td class="num c-due"><${Due} job=${job} /></td>
    <td class="p2 nowrap"><${Result} job=${job} /></td>
    <td class="c-actions"><div class="row-actions"><${Button} small kind="ghost" icon="play" busy=${busy === job.id + "run"} disabled=${job.state === "running"} label=${t("Run {name} now", { name: words })} onClick=${() => act(job, "run")} />
      <${Button} small kind="ghost" icon="ban" busy=${busy === job.id + "cancel"} disabled=${paused || job.state === "done"} label=${t("Pause {name}", { name: words })} onClick=${() => act(job, "cancel")} /></div></td></tr>`;
}

export function Jobs() {
  const [jobs, setJobs] = useState(null);
  const [failed, setFailed] = useState("");
  const [busy, setBusy] = useState("");
  const load = () => get("/api/jobs").then((data) => { setJobs(data.jobs); setFailed(""); }).catch((error) => setFailed(error.message));
  useEffect(() => {
    load();
    const timer = setInterval(() => document.hidden || link.value !== "live" || load(), EVERY_MS);
    return () => clearInterval(timer);
  }, [resync.value]);
  const act = async (job, what) => {
    const { name } = nameOf(job);
    setBusy(job.id + what);
    try {
      await post(`/api/jobs/${job.id}/${what}`);
      if (what === "run") toast(t("{name} starts now.", { name }), { tone: "ok" });
      else toast(t("{name} is paused until you run it.", { name }), { life: 8000, action: { label: t("Run now"), run: () => act(job, "run") } });
      await load();
      setTimeout(load, SOON_MS);
    } catch (error) {
      oops(error);
    }
    setBusy("");
  };
  const list = [...(jobs || [])].sort((a, b) => (ORDER[a.state] ?? 3) - (ORDER[b.state] ?? 3) || (a.due_at || Infinity) - (b.due_at || Infinity));
  const dead = list.filter((job) => job.state === "dead").length;
  return html`<div class="page">
    <div class="page-head"><h1>${t("Jobs")}</h1><span class="sub">${dead ? html`<span class="bad">${t("{n} gave up", { n: dead })}</span>` : t("work in the background")}</span></div>
    ${failed ? html`<div class="strip bad" role="alert"><div class="strip-text"><span class="strong">${t("Jobs could not be read")}</span><span class="t2 wrap">${failed}</span></div><${Button} small onClick=${load}>${t("Try again")}<//></div>` : null}
    ${!jobs ? (failed ? null : html`<${Skeleton} rows=${6} />`) : !jobs.length ? html`<${Empty} icon="timer" title=${t("No job is planned")}>${t("They are planned when the server begins to serve.")}<//>`
    : html`<div class="sheet"><table class="grid jobs desk"><thead><tr><th scope="col">${t("Job")}</th><th scope="col">${t("State")}</th><th scope="col" class="p3">${t("Runs")}</th><th scope="col" class="num">${t("Next")}</th><th scope="col" class="p2">${t("Last run")}</th><th scope="col"><span class="sr">${t("Actions")}</span></th></tr></thead>
      <tbody>${list.map((job) => html`<${Row} key=${job.id} job=${job} busy=${busy} act=${act} />`)}</tbody></table></div>`}
  </div>`;
}
