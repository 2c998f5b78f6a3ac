// The live page: one server-sent event stream, its word in the top bar, and what its events change.
//
// The page says what it wants:
//   <body data-live="calls,connections" data-live-after="1234">    topics, and the log sequence that the page shows
//   <div data-live-on="calls" data-live-get="/calls?part=board">   fetched again and morphed when `calls` stirs
//     … data-live-calm="2000"                                      at most every two seconds, where many look at much
//     … data-live-every="10"                                       and every ten seconds anyway: ages of proofs
//   <button data-live-news="calls" hidden>                         counts instead: “7 new”; a click fetches them
//   <td data-glow="call-7-state">                                  glows once when its text changed
//
// The server answers GET /live?topics=calls,connections&after=1234 (text/event-stream):
//   id: <log sequence>     event: <topic>     data: …
// where data is one of
//   HTML       each top-level element has an id and takes the place of the element with that id, if there is one;
//   JSON       {"key": "call-7", "html": "<tr id=…>"} — both optional. A key whose element is on the page is no news.
//   nothing    the topic stirred: its regions are fetched again.
// Besides topics: `tick` each 15 s with the server's clock in ms (proof of life), `reload` when too much was missed.

import { labelCells } from "./parts.js";
import { ageText } from "./ages.js";
import { fill, news, setNow, words } from "./words.js";

const SILENCE_MS = 40_000;      // two missed ticks and some
const HIDDEN_MS = 60_000;       // a tab nobody looks at lets go of its connection
const DRAW_MS = 20;             // what comes within it is drawn together
const CALM_MS = 400;            // events close together are answered by one fetch
const RETRY_MS = [1000, 2000, 5000, 10_000, 20_000];

const topics = (document.body.dataset.live || "").split(",").map((name) => name.trim()).filter(Boolean);
let source = null;
let after = document.body.dataset.liveAfter || "";
let heardAt = 0;
let failures = 0;
let hiddenTimer = 0;
let retryTimer = 0;
const waiting = new Map();      // region → timer
const drawn = new Map();        // id → the element that is about to take its place
let drawing = 0;
const announced = new WeakMap(); // button → keys it counts
const freshAt = new WeakMap();  // region → when it was last good
const fetchedAt = new WeakMap(); // region → when it was last asked for

function say(state) {
  const sign = document.getElementById("live-state");
  if (!sign || sign.dataset.state === state) return;
  sign.dataset.state = state;
  sign.hidden = false;
  sign.querySelector("span").textContent = words[state];
}

function connect() {
  clearTimeout(retryTimer);
  source?.close();
  const query = new URLSearchParams({ topics: topics.join(",") });
  if (after) query.set("after", after);
  source = new EventSource(`/live?${query}`);
  source.onopen = () => { failures = 0; heardAt = performance.now(); say("live"); };
  source.onerror = () => again();
  source.addEventListener("tick", (event) => { note(event); setNow(Number(event.data)); });
  source.addEventListener("reload", (event) => { note(event); refreshAll(); });
  for (const topic of topics) source.addEventListener(topic, (event) => { note(event); take(topic, event.data); });
}

function note(event) {
  heardAt = performance.now();
  if (event.lastEventId) after = event.lastEventId;
  say("live");
}

/** Connect again after a pause of our own: the browser gives up for good on some answers. */
function again() {
  source?.close();
  say(navigator.onLine ? "reconnecting" : "offline");
  const pause = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
  failures += 1;
  clearTimeout(retryTimer);
  retryTimer = setTimeout(connect, pause * (0.8 + Math.random() * 0.4));
}

function take(topic, data) {
  const text = (data || "").trim();
  if (text.startsWith("<")) return place(text);
  const message = text.startsWith("{") ? JSON.parse(text) : {};
  if (message.html) place(message.html);
  const known = message.key && document.getElementById(message.key);
  if (!known) count(topic, message.key);
  if (!message.html) {
    for (const region of document.querySelectorAll("[data-live-on]")) {
      if (region.dataset.liveOn.split(",").includes(topic)) soon(region);
    }
  }
}

/** Put elements in the place of those with the same id, all that came within a moment together; the rest is
    not on this page. */
function place(html) {
  const box = document.createElement("template");
  box.innerHTML = html;
  for (const element of [...box.content.children]) {
    if (element.id && document.getElementById(element.id)) drawn.set(element.id, element);
  }
  if (drawn.size && !drawing) drawing = setTimeout(draw, DRAW_MS);
}

async function draw() {
  const before = glowTexts();
  for (const [id, element] of drawn) {
    drawn.delete(id); // a later one of the same id is a later state
    const there = document.getElementById(id);
    if (there) await htmx.swap({ text: element.outerHTML, target: there, sourceElement: there, swap: "outerMorph" });
  }
  drawing = 0;
  settle(before);
}

function soon(region) {
  if (waiting.has(region)) return;
  const calm = Number(region.dataset.liveCalm || CALM_MS);
  waiting.set(region, setTimeout(() => { waiting.delete(region); fetchRegion(region); }, calm));
}

/** Fetch a region again. When that fails the old content stays, and says from when it is. */
export async function fetchRegion(region) {
  if (!region.isConnected) return;
  if (region.querySelector("dialog[open]")) return soon(region); // somebody is deciding inside of it
  fetchedAt.set(region, performance.now());
  const before = glowTexts();
  try {
    const answer = await fetch(region.dataset.liveGet, { headers: { "HX-Request": "true" } });
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    const text = await answer.text();
    const unfolded = foldsOf(region).filter(([, fold]) => fold.open).map(([name]) => name);
    await htmx.swap({ text, target: region, sourceElement: region, swap: "innerMorph" });
    for (const [name, fold] of foldsOf(region)) if (unfolded.includes(name)) fold.open = true;
    freshAt.set(region, Date.now());
    region.removeAttribute("data-stale");
    region.parentElement?.querySelector(":scope > .stale-note")?.remove();
    settle(before);
  } catch {
    markStale(region);
  }
}

/** What can be unfolded, by its words and how many of the same stand before it: a fetch must not fold it. */
function foldsOf(region) {
  const seen = new Map();
  return [...region.querySelectorAll("details")].map((fold) => {
    const words = fold.querySelector("summary")?.textContent ?? "";
    const number = seen.get(words) ?? 0;
    seen.set(words, number + 1);
    return [`${words} ${number}`, fold];
  });
}

function markStale(region) {
  region.setAttribute("data-stale", "");
  if (region.parentElement?.querySelector(":scope > .stale-note")) return;
  const shown = freshAt.get(region) || performance.timeOrigin;
  const text = document.createElement("p");
  text.className = "stale-note";
  text.role = "status";
  text.textContent = `${fill(words.failed, ageText(shown))} `;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-sm";
  button.textContent = words.retry;
  button.addEventListener("click", () => fetchRegion(region));
  text.append(button);
  region.before(text);
}

/** Announce instead of moving rows under the pointer; a thing that changes twice is one. */
function count(topic, key) {
  for (const button of document.querySelectorAll(`[data-live-news="${CSS.escape(topic)}"]`)) {
    const keys = announced.get(button) || new Set();
    keys.add(key || Symbol(topic));
    announced.set(button, keys);
    button.hidden = false;
    button.querySelector("span").textContent = news(keys.size);
  }
}

function showNews(button) {
  announced.delete(button);
  button.hidden = true;
  const region = document.getElementById(button.dataset.liveRegion || "");
  if (region?.dataset.liveGet) fetchRegion(region);
  else location.reload();
}

function refreshAll() {
  for (const region of document.querySelectorAll("[data-live-get]")) soon(region);
}

function glowTexts() {
  return new Map([...document.querySelectorAll("[data-glow]")].map((cell) => [cell.dataset.glow, glowText(cell)]));
}

/** What must change for a glow: an age beside a state grows by itself. */
const glowText = (cell) => (cell.querySelector(".word") ?? cell).textContent;

function settle(before) {
  labelCells();
  for (const cell of document.querySelectorAll("[data-glow]")) {
    const old = before.get(cell.dataset.glow);
    if (old === undefined || old === glowText(cell)) continue;
    cell.classList.remove("glow");
    void cell.offsetWidth; // starts the animation anew
    cell.classList.add("glow");
  }
}

function onVisibility() {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => { clearTimeout(retryTimer); source?.close(); source = null; say("paused"); }, HIDDEN_MS);
  } else if (!source || source.readyState === EventSource.CLOSED) {
    connect();
  }
}

/** Fetch what ages without an event: some regions ask for it. */
function fetchDue() {
  if (document.hidden) return;
  for (const region of document.querySelectorAll("[data-live-every]")) {
    const last = fetchedAt.get(region) ?? 0;
    if (performance.now() - last >= 1000 * Number(region.dataset.liveEvery)) fetchRegion(region);
  }
}

export function start() {
  setInterval(fetchDue, 1000);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-live-news]");
    if (button) showNews(button);
  });
  if (!topics.length) return;
  connect();
  setInterval(() => {
    if (source && !document.hidden && heardAt && performance.now() - heardAt > SILENCE_MS) {
      heardAt = performance.now();
      again();
    }
  }, 5000);
  addEventListener("online", connect);
  addEventListener("offline", () => say("offline"));
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
  document.addEventListener("visibilitychange", onVisibility);
}
