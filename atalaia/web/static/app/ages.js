// Living ages (“há 12 s”) and clocks that count. The server writes the same words: show.py, age_text.

import { fill, now, words } from "./words.js";

const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];

function coarse(seconds) {
  for (const [unit, length] of UNITS) {
    if (seconds >= length) return `${Math.floor(seconds / length)}\u00a0${unit}`;
  }
  return `${seconds}\u00a0s`;
}

/** Say how long ago a moment was. */
export function ageText(ms) {
  const seconds = Math.floor((now() - ms) / 1000);
  if (seconds >= -1 && seconds < 1) return words.now;
  return fill(seconds > 0 ? words.ago : words.ahead, coarse(Math.abs(seconds)));
}

/** Show milliseconds as a stopwatch does. */
export function stopwatch(ms) {
  const all = Math.max(0, Math.floor(ms / 1000));
  const two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(all / 3600), Math.floor((all % 3600) / 60), all % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  for (const element of document.querySelectorAll("[data-ago]")) write(element, ageText(Number(element.dataset.ago)));
  for (const element of document.querySelectorAll("[data-timer]")) {
    write(element, stopwatch(now() - Number(element.dataset.timer)));
  }
}

export function start() {
  setInterval(() => { if (!document.hidden) tick(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  document.addEventListener("htmx:after:swap", tick);
}
