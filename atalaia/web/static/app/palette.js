// The command palette (Ctrl K): places, actions of this page, and whatever the hub's search suggests.

import { fill, words } from "./words.js";

const dialog = document.getElementById("palette");
const input = document.getElementById("palette-input");
const list = document.getElementById("palette-list");
let items = [];
let chosen = 0;
let asked = 0;

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

/** Everything on the page that carries data-palette: links and buttons, with their own words. */
function collect() {
  return [...document.querySelectorAll("[data-palette]")].map((element) => ({
    title: element.dataset.palette || element.textContent.trim(),
    hint: element.dataset.hint || "",
    run: () => element.click(),
  }));
}

function matching(text) {
  const parts = plain(text).split(/\s+/).filter(Boolean);
  return collect().filter((item) => parts.every((part) => plain(item.title).includes(part)));
}

function draw() {
  list.replaceChildren(...items.map((item, place) => {
    const row = document.createElement("li");
    row.role = "option";
    row.id = `palette-${place}`;
    row.ariaSelected = String(place === chosen);
    const title = document.createElement("span");
    title.textContent = item.title;
    const hint = document.createElement("span");
    hint.className = "hint";
    hint.textContent = item.hint;
    row.append(title, hint);
    row.addEventListener("click", () => run(place));
    return row;
  }));
  input.setAttribute("aria-activedescendant", items.length ? `palette-${chosen}` : "");
  document.getElementById(`palette-${chosen}`)?.scrollIntoView({ block: "nearest" });
}

function run(place) {
  const item = items[place];
  if (!item) return;
  dialog.close();
  item.run();
}

function visit(href) {
  return () => { location.href = href; };
}

/** Ask the hub what it knows by this text; the palette works without the answer. */
async function suggest(text) {
  const mine = ++asked;
  try {
    const answer = await fetch(`${dialog.dataset.suggest}?q=${encodeURIComponent(text)}`, { headers: { Accept: "application/json" } });
    if (!answer.ok || mine !== asked) return;
    const found = (await answer.json()).map((row) => ({ title: row.title, hint: row.hint || "", run: visit(row.href) }));
    items = [...items.slice(0, -1), ...found, ...items.slice(-1)];
    draw();
  } catch { /* no suggestions then */ }
}

function refresh() {
  const text = input.value.trim();
  items = matching(text);
  chosen = 0;
  if (text) {
    items.push({ title: fill(words.search_for, text), hint: "", run: visit(`/search?q=${encodeURIComponent(text)}`) });
    if (dialog.dataset.suggest && text.length > 1) suggest(text);
  }
  draw();
}

function onKey(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && items.length) {
    event.preventDefault();
    chosen = (chosen + step + items.length) % items.length;
    draw();
  } else if (event.key === "Enter") {
    event.preventDefault();
    run(chosen);
  }
}

export function start() {
  if (!dialog) return;
  input.addEventListener("input", refresh);
  input.addEventListener("keydown", onKey);
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openIt();
    }
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-open-palette]")) openIt(); });
}

function openIt() {
  if (dialog.open) return;
  input.value = "";
  refresh();
  dialog.showModal();
  input.focus();
}
