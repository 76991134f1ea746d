// Bars over time, drawn by the vendored uPlot in the colours of the theme. The figures under the pointer, or chosen by arrow keys, are told in words.
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
  const [axis, grid, ...fills] = colours(node, ["--t3", "--line", ...series.map((one) => one.colour)]);
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
    series: [{}, ...[...series.keys()].reverse().map((i) => ({ fill: fills[i], width: 0, paths: bars, points: { show: false } }))],
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx)] },
  };
}

/** `series`: [{name, colour: a variable of the palette, values}], stacked. `ticks` stand under the bars, `titles` name each fully. `format` makes
 *  figures of values. `label` says what the whole is. */
export function Chart({ label, series, ticks, titles, format }) {
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
    <div class="chart-note sm" id=${note} aria-live="polite">${series.map((one) => html`<span class="chart-key nowrap" key=${one.name}><i style=${{ background: `var(${one.colour})` }} aria-hidden="true" /><span class="t3">${one.name}</span>${here === null ? null : html`<span class="strong">${format(one.values[here])}</span>`}</span>`)}<span class="chart-at t2">${here === null ? "" : titles[here]}</span></div>
    <div class="chart-box" ref=${box} role="img" tabindex="0" aria-label=${label} aria-describedby=${note} onKeyDown=${walk} onMouseLeave=${() => setAt(null)} /></div>`;
}
