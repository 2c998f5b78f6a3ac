// Plots with uPlot, loaded only by pages that have one. Data stands in a JSON block beside the table
// that says the same in words: {"x": [ms], "series": [{"label", "unit", "tone", "kind", "values"}],
// "gaps": [{"from", "to", "label"}]}. Null breaks a line; a gap is a band over the whole height.

import { language, words, zone } from "./words.js";

const HEIGHT = 220;
const drawn = new Map();

function loadUplot() {
  if (window.uPlot) return Promise.resolve();
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = document.documentElement.dataset.uplot;
    script.onload = done;
    script.onerror = failed;
    document.head.append(script);
  });
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function clear(hex, share) {
  return `color-mix(in srgb, ${hex} ${share}%, transparent)`;
}

function timeText(seconds, span) {
  const parts = span > 2 * 86400 ? { day: "2-digit", month: "2-digit" } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Intl.DateTimeFormat(language, { ...parts, timeZone: zone }).format(new Date(seconds * 1000));
}

function numberText(value, unit) {
  if (value == null) return "—";
  const text = new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(value);
  return unit ? `${text}\u00a0${unit}` : text;
}

/** Bands for the times in which something may have been missed, drawn beneath the lines. */
function drawGaps(gaps) {
  return (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    for (const gap of gaps) {
      const left = Math.max(bbox.left, u.valToPos(gap.from / 1000, "x", true));
      const right = Math.min(bbox.left + bbox.width, u.valToPos(gap.to / 1000, "x", true));
      if (right < left) continue;
      ctx.fillStyle = clear(colour("--at-idle-ink"), 14);
      ctx.fillRect(left, bbox.top, Math.max(2, right - left), bbox.height);
      ctx.fillStyle = colour("--at-idle-ink");
      ctx.fillRect(left, bbox.top, Math.max(2, right - left), 3);
    }
    ctx.restore();
  };
}

function seriesOf(one) {
  const ink = colour(`--at-${one.tone || "info"}-ink`);
  const made = {
    label: one.label, stroke: ink, width: 1.75, points: { show: false }, spanGaps: false,
    scale: one.unit === "%" ? "%" : "y", value: (_, value) => numberText(value, one.unit),
  };
  if (one.kind === "bars") {
    return { ...made, fill: clear(ink, 45), width: 1, paths: window.uPlot.paths.bars({ size: [0.75, 40], gap: 1 }) };
  }
  if (one.kind === "steps") return { ...made, paths: window.uPlot.paths.stepped({ align: 1 }) };
  if (one.kind === "area") return { ...made, fill: clear(ink, 16) };
  return made;
}

/** An axis is as wide as its longest number, so that none is cut. */
function widthOf(_, texts) {
  return Math.max(44, 16 + 6.5 * Math.max(0, ...(texts ?? []).map((text) => text?.length ?? 0)));
}

function axesOf(spec) {
  const look = { stroke: colour("--at-muted"), grid: { stroke: colour("--at-line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const has = (wanted) => spec.series.some((one) => (one.unit === "%") === wanted);
  const unit = spec.series.find((one) => one.unit !== "%")?.unit;
  const axes = [{ ...look, space: 64, size: 30, values: (u, ticks) => ticks.map((tick) => timeText(tick, u.scales.x.max - u.scales.x.min)) }];
  if (has(false)) axes.push({ ...look, scale: "y", size: widthOf, values: (_, ticks) => ticks.map((tick) => numberText(tick, unit)) });
  if (has(true)) {
    axes.push({ ...look, scale: "%", side: has(false) ? 1 : 3, size: 48, grid: { show: !has(false) }, values: (_, ticks) => ticks.map((tick) => numberText(tick, "%")) });
  }
  return axes;
}

/** Bars stand around their moment, so half a bucket is added on both sides. */
function xRange(spec) {
  const bars = spec.series.some((one) => one.kind === "bars") && spec.x.length > 1;
  const half = bars ? (spec.x[1] - spec.x[0]) / 2000 : 0;
  return (_, low, high) => [low - half, high + half];
}

function draw(box) {
  const spec = JSON.parse(box.querySelector("script[type='application/json']").textContent);
  const place = box.querySelector(".plot-canvas");
  drawn.get(box)?.destroy();
  box.classList.toggle("without-data", !spec.x.length);
  if (!spec.x.length) {
    place.textContent = words.no_data;
    return;
  }
  const options = {
    width: place.clientWidth, height: Number(box.dataset.height || HEIGHT), padding: [12, 8, 0, 0],
    tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), zone),
    scales: { x: { time: true, range: xRange(spec) }, y: { range: (_, low, high) => [Math.min(0, low), (high || 1) * 1.08] }, "%": { range: [0, 100] } },
    cursor: { points: { size: 6 }, drag: { x: true, y: false } },
    legend: { live: true },
    series: [{ label: words.time, value: (u, value) => (value == null ? "—" : timeText(value, 3600)) }, ...spec.series.map(seriesOf)],
    axes: axesOf(spec),
    hooks: { drawClear: [drawGaps(spec.gaps || [])] },
  };
  const data = [spec.x.map((ms) => ms / 1000), ...spec.series.map((one) => one.values)];
  place.replaceChildren();
  drawn.set(box, new window.uPlot(options, data, place));
}

async function drawAll() {
  const boxes = [...document.querySelectorAll("[data-plot]")];
  if (!boxes.length) return;
  await loadUplot();
  boxes.forEach(draw);
}

export function start() {
  drawAll();
  document.addEventListener("atalaia:theme", drawAll);
  document.addEventListener("htmx:after:swap", (event) => { if (event.target.querySelector?.("[data-plot]")) drawAll(); });
  let timer = 0;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(drawAll, 150); });
}
