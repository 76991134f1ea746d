// Who works without a mouse is never sent back to the beginning of the page: when what had the focus goes away, its neighbour has it.

const CAN = ":is(a[href], button, input, select, textarea, summary, [tabindex]):not(:disabled, [tabindex='-1'])";
const seen = (node) => node.isConnected && (!node.checkVisibility || node.checkVisibility());
const firstIn = (node) => (node.matches && node.matches(CAN) && seen(node) ? node : node.querySelectorAll ? [...node.querySelectorAll(CAN)].find(seen) : null);

let last = null; // What had the focus on the page itself.
let heir = null; // Who gets it, once `last` is gone.
let inDialog = null; // What had the focus in a dialog.

/** The nearest place that is left: after what was taken out, before it, then around it. */
function neighbour({ target, nextSibling, previousSibling }) {
  const main = document.getElementById("main");
  for (let node = nextSibling; node; node = node.nextSibling) if (firstIn(node)) return firstIn(node);
  for (let node = previousSibling; node; node = node.previousSibling) if (firstIn(node)) return firstIn(node);
  for (let around = target; around && around !== main && main && main.contains(around); around = around.parentElement) if (firstIn(around)) return firstIn(around);
  return main;
}

const gone = (node) => !node.isConnected || node.matches(":disabled");

function onChange(records) {
  if (last && gone(last)) {
    const record = last.isConnected ? { target: last.parentElement, nextSibling: last.nextSibling, previousSibling: last.previousSibling } : records.find((one) => [...one.removedNodes].some((node) => node.contains(last)));
    heir = record ? neighbour(record) : document.getElementById("main");
    last = heir;
  }
  if (document.activeElement !== document.body) return;
  const dialog = [...document.querySelectorAll("dialog[open]")].at(-1);
  if (dialog && !(inDialog && gone(inDialog))) return; // Nothing was lost here: the browser's own bar may have it.
  const next = dialog ? firstIn(dialog.querySelector(".dialog-body")) || dialog.querySelector("h2") : heir;
  if (!dialog) heir = null;
  if (next && next.isConnected) next.focus();
}

document.addEventListener("focusin", ({ target }) => {
  inDialog = target.closest("dialog") ? target : null;
  if (inDialog) return;
  last = target;
  heir = null;
});
new MutationObserver(onChange).observe(document.body, { childList: true, subtree: true, attributeFilter: ["disabled"] });
