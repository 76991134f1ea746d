// The tiers of a chain: its members are dragged from one to another, or moved with the arrow keys. What was moved is saved at once.
import { useLayoutEffect, useRef, useState } from "../vendor/hooks.mjs";
import { call } from "../api.js";
import { html, Icon, oops } from "../ui.js";
import { t } from "../texts.js";

/** Tiers after `member` of tier `from` went to `to`: a tier's place, or half before or after it for a tier of its own. */
function moved(tiers, member, from, to) {
  const places = tiers.map((tier, i) => [i, i === from ? tier.filter((other) => other !== member) : tier]);
  const there = places.find(([i]) => i === to);
  if (there) there[1] = [...there[1].filter((other) => other !== member), member];
  else places.push([to, [member]]);
  return places.filter(([, tier]) => tier.length).sort(([a], [b]) => a - b).map(([, tier]) => tier);
}

/** One step: out of its tier into one of its own, from there into the next. The same tiers at the end. */
const stepped = (tiers, member, from, way) => {
  if (tiers[from].length > 1) return moved(tiers, member, from, from + way / 2);
  return tiers[from + way] ? moved(tiers, member, from, from + way) : tiers;
};

export function Tiers({ name, tiers, onChange }) {
  const [own, setOwn] = useState(null); // What was moved here, until the server's tiers say the same.
  const [dragged, setDragged] = useState(null);
  const [over, setOver] = useState(null);
  const [word, setWord] = useState("");
  const box = useRef(null);
  const followed = useRef("");
  const saving = useRef({ last: 0, queue: Promise.resolve() });
  const shown = own || tiers;
  useLayoutEffect(() => {
    if (!followed.current) return;
    const button = [...box.current.querySelectorAll(".member")].find((node) => node.dataset.member === followed.current);
    followed.current = "";
    if (button) button.focus();
  });
  const save = (next) => {
    if (next === shown || JSON.stringify(next) === JSON.stringify(shown)) return;
    setOwn(next);
    const mine = ++saving.current.last;
    saving.current.queue = saving.current.queue.then(async () => {
      if (mine !== saving.current.last) return; // A later move says it all.
      try {
        await call("PUT", `/api/chains/${encodeURIComponent(name)}`, { tiers: next });
      } catch (error) {
        oops(error);
      }
      await onChange();
      if (mine === saving.current.last) setOwn(null);
    });
  };
  const onKeyDown = (member, from) => (event) => {
    const way = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation();
    const next = stepped(shown, member, from, way);
    followed.current = member;
    save(next);
    setWord(t("{name}: tier {n} of {all}", { name: member, n: next.findIndex((tier) => tier.includes(member)) + 1, all: next.length }));
  };
  const place = (to) => ({
    onDragOver(event) {
      if (!dragged) return;
      event.preventDefault();
      if (over !== to) setOver(to);
    },
    onDragLeave: () => setOver((before) => (before === to ? null : before)),
    onDrop(event) {
      if (!dragged) return;
      event.preventDefault();
      save(moved(shown, dragged.member, dragged.from, to));
      setDragged(null);
      setOver(null);
    },
  });
  const between = (to, icon) => html`<span key=${`gap${to}`} class=${`tier-gap${over === to ? " over" : ""}`} ...${place(to)}>${icon ? html`<${Icon} name="arrow-right" size=${12} />` : null}</span>`;
  const start = (member, from) => (event) => {
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", member);
    setDragged({ member, from });
  };
  return html`<span ref=${box} class=${`tiers board${dragged ? " dragging" : ""}`} role="group" aria-label=${t("Tiers of {name}", { name })}>
    ${between(-0.5, false)}${shown.map((tier, i) => html`<span key=${i} class=${`tier${over === i ? " over" : ""}`} role="group" aria-label=${t("Tier {n}", { n: i + 1 })} ...${place(i)}>${tier.map((member) => html`<button type="button" key=${member} class="member mono sm" data-member=${member} draggable="true"
      aria-label=${t("{name}: tier {n} of {all}", { name: member, n: i + 1, all: shown.length })} title=${t("Drag it, or use the arrow keys")} onKeyDown=${onKeyDown(member, i)} onDragStart=${start(member, i)} onDragEnd=${() => { setDragged(null); setOver(null); }}>${member}</button>`)}</span>${between(i + 0.5, i < shown.length - 1)}`)}
    <span class="sr" role="status">${word}</span></span>`;
}
