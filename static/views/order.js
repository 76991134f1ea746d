// The order in which accounts are tried: one that is moved, by dragging or with the arrow keys, gets another priority.
import { useLayoutEffect, useRef } from "../vendor/hooks.mjs";
import { saveAccount } from "../actions.js";
import { putAccount, shownAccounts } from "../live.js";
import { html, oops, toast } from "../ui.js";
import { t } from "../texts.js";

const EDGE = 0.3; // This much of a row, above and below, means "between", where there is something between.

export const inOrder = (list) => [...list].sort((a, b) => b.priority - a.priority);

/** A priority of its own just above `level`: [[account, priority]]. Where no number is free, those right above move up. */
function above(list, account, level) {
  const others = list.filter((other) => other.id !== account.id);
  const taken = new Set(others.map((other) => other.priority));
  let free = level + 1;
  while (taken.has(free)) free += 1;
  const pushed = others.filter((other) => other.priority > level && other.priority < free);
  return [...pushed.map((other) => [other, other.priority + 1]), [account, level + 1]];
}

function below(list, account, level) {
  const lower = list.filter((other) => other.id !== account.id && other.priority < level).map((other) => other.priority);
  return lower.length ? above(list, account, Math.max(...lower)) : [[account, level - 1]];
}

/** One step up (1) or down (-1): out of its equals to a priority of its own, from there to the next ones. [] at the end. */
export function stepped(list, account, way) {
  const others = list.filter((other) => other.id !== account.id);
  if (others.some((other) => other.priority === account.priority)) return (way > 0 ? above : below)(list, account, account.priority);
  const beyond = others.map((other) => other.priority).filter((level) => (level - account.priority) * way > 0);
  return beyond.length ? [[account, way > 0 ? Math.min(...beyond) : Math.max(...beyond)]] : [];
}

/** Where a row of a list in order is dropped on: among its equals, or, at their edge, before or after them all. */
export function dropped(list, account, target, part) {
  const equals = list.filter((other) => other.priority === target.priority && other.id !== account.id);
  if (part < EDGE && equals[0] === target) return { at: "before", changes: above(list, account, target.priority) };
  if (part > 1 - EDGE && equals.at(-1) === target) return { at: "after", changes: below(list, account, target.priority) };
  return { at: "with", changes: [[account, target.priority]] };
}

let dropToast = () => {};

/** Shown at once, taken back when the server refuses. */
async function apply(changes, again = false) {
  const before = changes.map(([account]) => [account, account.priority]);
  const moved = changes.filter(([account, priority]) => account.priority !== priority);
  if (!moved.length) return;
  moved.forEach(([account, priority]) => putAccount({ ...account, priority }));
  try {
    for (const [account, priority] of moved) await saveAccount(account.id, { priority });
  } catch (error) {
    before.forEach(([account]) => putAccount(account));
    return oops(error);
  }
  dropToast();
  const [account, priority] = moved.at(-1);
  const undo = () => apply(before.map(([one, was]) => [{ ...one, priority: null }, was]), true);
  dropToast = toast(t("{name} has priority {n}.", { name: account.label, n: priority }), { action: again ? null : { label: t("Undo"), run: undo } });
}

let dragged = null; // The account under way.
let followed = ""; // Id of the account that the keyboard moves: its row may become another place of the page.

const GRIP = html`<svg class="icon" width="10" height="14" viewBox="0 0 10 14" aria-hidden="true"><path d="M2 2h2v2H2zM6 2h2v2H6zM2 6h2v2H2zM6 6h2v2H6zM2 10h2v2H2zM6 10h2v2H6z" /></svg>`;

export function Grip({ account }) {
  const ref = useRef(null);
  useLayoutEffect(() => {
    if (followed !== account.id) return;
    followed = "";
    ref.current.focus();
  });
  const onKeyDown = (event) => {
    const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation();
    const list = shownAccounts.value;
    const now = list.find((other) => other.id === account.id);
    const changes = now ? stepped(list, now, way) : [];
    if (changes.length) followed = account.id;
    apply(changes);
  };
  const onDragStart = (event) => {
    dragged = account;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", account.label);
    event.dataTransfer.setDragImage(event.currentTarget.closest("tr"), 12, 12);
  };
  return html`<button ref=${ref} type="button" class="grip" draggable="true" aria-label=${t("Move {name}, priority {n}", { name: account.label, n: account.priority })} title=${t("Drag, or use the arrow keys: who stands higher is tried first")}
    onKeyDown=${onKeyDown} onDragStart=${onDragStart} onDragEnd=${() => (dragged = null)}>${GRIP}</button>`;
}

const part = (event) => {
  const box = event.currentTarget.getBoundingClientRect();
  return (event.clientY - box.top) / box.height;
};

/** What makes a row a place to drop on. */
export function droppable(account) {
  const mark = (event, at) => {
    if (event.currentTarget.dataset.drop !== at) event.currentTarget.dataset.drop = at;
  };
  return {
    onDragOver(event) {
      if (!dragged || dragged.id === account.id) return;
      event.preventDefault();
      mark(event, dropped(inOrder(shownAccounts.value), dragged, account, part(event)).at);
    },
    onDragLeave: (event) => mark(event, ""),
    onDrop(event) {
      mark(event, "");
      if (!dragged || dragged.id === account.id) return;
      event.preventDefault();
      const list = inOrder(shownAccounts.value);
      const target = list.find((other) => other.id === account.id);
      const mine = list.find((other) => other.id === dragged.id);
      if (target && mine) apply(dropped(list, mine, target, part(event)).changes);
    },
  };
}
