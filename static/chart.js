// Bars over time, drawn by the vendored uPlot in the colours of the theme, each with a pattern of its own. The figures under the pointer, or
// chosen by arrow keys, are told in words.
import { useEffect, useId, useRef, useState } from "./vendor/hooks.mjs";
import { html } from "./ui.js";
import uPlot from "./vendor/uplot.mjs";

const HEIGHT = 224;
const BAR = [0.72, 34];
const AXIS_WIDTH = 50;

/** A colour of the style sheet as a canvas understands it: variables that follow the theme have to be asked of an element. */
function colours(node, names) {
  const probe = document.createElement("i");
  probe.style.transition = "none"; // Else the colour before is told, which it only begins to leave.
  node.append(probe);
  const found = names.map((name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  });
  probe.remove();
  return found;
}

const TILE = 6; // CSS pixels after which a pattern comes again, as in css/late.css.
/** The patterns, by number: lines through a tile, as parts of its side (x, y to x, y). Neighbours in a stack differ without colour, too. */
const LINES = [
  [],
  [[0, 1, 1, 0], [-0.5, 0.5, 0.5, -0.5], [0.5, 1.5, 1.5, 0.5]],
  [[0, 0.5, 1, 0.5]],
  [[0, 0, 1, 1], [-0.5, 0.5, 0.5, 1.5], [0.5, -0.5, 1.5, 0.5]],
];

/** A colour with the lines of a pattern on it, as a canvas takes it. It is opaque: bars stand before each other. */
function filled(colour, pattern, ground) {
  if (!LINES[pattern].length) return colour;
  const size = Math.round(TILE * devicePixelRatio);
  const tile = new OffscreenCanvas(size, size);
  const pen = tile.getContext("2d");
  pen.fillStyle = colour;
  pen.fillRect(0, 0, size, size);
  pen.strokeStyle = ground;
  pen.globalAlpha = 0.5;
  pen.lineWidth = size / 3;
  for (const [fromX, fromY, toX, toY] of LINES[pattern]) {
    pen.beginPath();
    pen.moveTo(fromX * size, fromY * size);
    pen.lineTo(toX * size, toY * size);
    pen.stroke();
  }
  return pen.createPattern(tile, "repeat");
}
const patternOf = (one) => (one.pattern || 0) % LINES.length;

/** Each series stands on those before it. */
function stacked(series) {
  const sums = [];
  let before = series[0].values.map(() => 0);
  for (const { values } of series) {
    before = values.map((value, i) => before[i] + value);
    sums.push(before);
  }
  return sums;
}

function options({ node, width, series, ticks, format, onCursor }) {
  const [axis, grid, ground, ...found] = colours(node, ["--t3", "--line", "--sheet", ...series.map((one) => one.colour)]);
  const fills = found.map((colour, i) => filled(colour, patternOf(series[i]), ground));
  const font = `11px ${getComputedStyle(node).fontFamily}`;
  const bars = uPlot.paths.bars({ size: BAR, radius: 0.14 });
  const plain = { stroke: axis, font, ticks: { show: false }, grid: { show: false } };
  return {
    width, height: HEIGHT, padding: [10, 6, 0, 0], legend: { show: false }, select: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { time: false, range: (_, min, max) => [min - 0.6, max + 0.6] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] } },
    axes: [
      { ...plain, gap: 6, size: 26, space: 62, incrs: [1, 2, 3, 4, 6, 7, 12, 14, 24, 28, 56, 84, 168, 365], values: (_, at) => at.map((i) => ticks[i] || "") },
      { ...plain, gap: 4, size: AXIS_WIDTH, space: 38, grid: { stroke: grid, width: 1 }, values: (_, at) => at.map(format) },
    ],
    // The tallest first: those below are drawn over it.
    series: [{}, ...[...series.keys()].reverse().map((i) => ({ fill: () => fills[i], width: 0, paths: bars, points: { show: false } }))],
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx)] },
  };
}

/** `series`: [{name, colour: a variable of the palette, pattern: a number of LINES, values}], stacked. `ticks` stand under the bars, `titles` name
 *  each fully. `format` makes figures of values. `label` says what the whole is, `sum` what all series of a bar are together. */
export function Chart({ label, series, ticks, titles, format, sum }) {
  const box = useRef(null);
  const plot = useRef(null);
  const [at, setAt] = useState(null);
  const note = useId();
  const key = JSON.stringify([label, series, ticks]);
  useEffect(() => {
    const node = box.current;
    const draw = () => {
      if (plot.current) plot.current.destroy();
      const sums = stacked(series);
      const data = [ticks.map((_, i) => i), ...sums.reverse()];
      plot.current = new uPlot(options({ node, width: node.clientWidth || 300, series, ticks, format, onCursor: (i) => setAt(i === undefined ? null : i) }), data, node);
    };
    draw();
    const sized = new ResizeObserver(() => plot.current && node.clientWidth && plot.current.width !== node.clientWidth && plot.current.setSize({ width: node.clientWidth, height: HEIGHT }));
    sized.observe(node);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    const themed = new MutationObserver(draw);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      sized.disconnect();
      themed.disconnect();
      dark.removeEventListener("change", draw);
      plot.current.destroy();
      plot.current = null;
    };
  }, [key]);
  const point = (i) => {
    const to = Math.min(ticks.length - 1, Math.max(0, i));
    setAt(to);
    plot.current.setCursor({ left: plot.current.valToPos(to, "x"), top: 20 }, false);
  };
  const walk = (event) => {
    const to = { ArrowRight: at === null ? 0 : at + 1, ArrowLeft: at === null ? ticks.length - 1 : at - 1, Home: 0, End: ticks.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    point(to);
  };
  const here = at !== null && at < ticks.length ? at : null;
  return html`<div class="chart">
    <div class="chart-note sm" id=${note}>${series.map((one) => html`<span class="chart-key" key=${one.name}><${Swatch} of=${one} /><span class="t3 cut">${one.name}</span></span>`)}</div>
    <div class="chart-plot"><div class="chart-box" ref=${box} role="img" tabindex="0" aria-label=${label} aria-describedby=${note} onKeyDown=${walk} onBlur=${() => setAt(null)} onMouseLeave=${() => setAt(null)} />
      <div aria-live="polite">${here === null ? null : html`<${Tip} series=${series} at=${here} title=${titles[here]} format=${format} sum=${sum} left=${here * 2 >= ticks.length} />`}</div></div></div>`;
}

const Swatch = ({ of }) => html`<i class=${`swatch fill-${patternOf(of)}`} style=${{ "--fill": `var(${of.colour})` }} aria-hidden="true" />`;

/** On the side where the pointer is not. What is nothing in this bar is left out. */
function Tip({ series, at, title, format, sum, left }) {
  const there = series.filter((one) => one.values[at]);
  return html`<div class=${"chart-tip sm" + (left ? " on-left" : "")}><div class="chart-at strong">${title}</div>
    ${there.map((one) => html`<div class="tip-line" key=${one.name}><${Swatch} of=${one} /><span class="cut t2">${one.name}</span><span class="num">${format(one.values[at])}</span></div>`)}
    ${there.length === 1 ? null : html`<div class="tip-line tip-sum"><span class="cut t3">${sum}</span><span class="num strong">${format(there.reduce((total, one) => total + one.values[at], 0))}</span></div>`}</div>`;
}
