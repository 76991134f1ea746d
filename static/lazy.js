// Views and dialogs come when they are first needed: the browser's own import(), no build step.
import { useLayoutEffect, useRef, useState } from "./vendor/hooks.mjs";
import { signal } from "./vendor/signals.mjs";
import { Button, closeDialog, dialog, Empty, html, openDialog, Skeleton, toast } from "./ui.js";
import { t } from "./texts.js";

const SKELETON_AFTER_MS = 140; // Up to here the view before stays: a skeleton that only flashes is worse than none.

const files = new Map(); // load → the file's exports, once it is here
const under = new Map(); // load → the promise of a file that is on its way

async function fetched(load) {
  try {
    const file = await load();
    files.set(load, file);
    return file;
  } finally {
    under.delete(load); // What did not come is asked for again the next time.
  }
}

/** A part of the page: `load` imports its file, `name` is what the file calls it. `ready` is null until it is here. */
export function part(load, name) {
  /** Rejects when the file does not come, or is of another version and has no such part. */
  const fetch = async () => {
    if (!files.has(load) && !under.has(load)) under.set(load, fetched(load));
    const file = files.get(load) || (await under.get(load));
    if (!file[name]) throw new Error(`There is no ${name} in that file.`);
  };
  return {
    get ready() {
      return (files.get(load) || {})[name] || null;
    },
    fetch,
    /** For a pointer that is on its way to it. Whoever opens it sees the error. */
    ahead: () => void fetch().catch(() => {}),
  };
}

const waiting = signal(0); // How many parts the user waits for.

async function awaited(wanted) {
  waiting.value += 1;
  try {
    await wanted.fetch();
  } finally {
    waiting.value -= 1;
  }
}

export const Loading = () => (waiting.value ? html`<div class="loading" aria-hidden="true" />` : null);

/** Draws the part `of` the route `at`. The one before stays until it is here, or until the wait becomes long. */
export function Stage({ of, at }) {
  const [, redraw] = useState(0);
  const [slow, setSlow] = useState(null);
  const [missing, setMissing] = useState(null);
  const shown = useRef(null);
  const get = () => {
    let left = false;
    setMissing(null);
    const timer = setTimeout(setSlow, SKELETON_AFTER_MS, of);
    const over = (then) => () => {
      clearTimeout(timer);
      if (!left) then();
    };
    awaited(of).then(over(() => redraw((n) => n + 1)), over(() => setMissing(of)));
    return () => {
      left = true;
      clearTimeout(timer);
    };
  };
  useLayoutEffect(() => (of.ready ? undefined : get()), [of]);
  if (of.ready) shown.current = { of, at };
  const here = shown.current;
  useLayoutEffect(() => {
    const main = document.getElementById("main");
    if (main) main.scrollIntoView({ block: "start" });
  }, [here && here.of, here && here.at.id]);
  if (!of.ready && missing === of) return html`<div class="page"><${Missing} again=${get} /></div>`;
  if (!here || (!of.ready && slow === of)) return html`<div class="page" aria-busy="true"><${Skeleton} rows=${8} /></div>`;
  return html`<${here.of.ready} route=${here.at} />`;
}

function Missing({ again }) {
  return html`<${Empty} icon="wifi-off" title=${t("This page could not be loaded")} action=${html`<div class="flex center"><${Button} kind="primary" icon="rotate-cw" onClick=${again}>${t("Try again")}<//><${Button} onClick=${() => location.reload()}>${t("Reload the dashboard")}<//></div>`}>
    ${t("The server did not hand it out. It may be restarting, or it was updated meanwhile: then reload.")}<//>`;
}

/** A dialog of another file: nothing is shown until it is here, then it opens as if it had been here all along. */
export function lateDialog(load, name) {
  const wanted = part(load, name);
  return function Late(props) {
    const [, redraw] = useState(0);
    useLayoutEffect(() => {
      if (wanted.ready) return;
      const asked = dialog.value;
      awaited(wanted).then(() => redraw(1), () => {
        if (dialog.value !== asked) return;
        const { kind, ...rest } = asked;
        closeDialog();
        toast(t("The server did not hand out this dialog."), { tone: "bad", life: 12000, action: { label: t("Try again"), run: () => openDialog(kind, rest) } });
      });
    }, []);
    return wanted.ready ? html`<${wanted.ready} ...${props} />` : null;
  };
}
