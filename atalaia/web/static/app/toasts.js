// Short notices in the corner; read out by screen readers, closed by themselves or by a click.

import { words } from "./words.js";

const SHOWN_MS = 7000;

/** Show a notice. Kinds: good, info, ask, bad; a bad one stays until it is closed. */
export function toast(text, kind = "info", id = "") {
  const area = document.getElementById("toasts");
  const model = document.getElementById("toast-model");
  if (!area || !model) return;
  const item = model.content.firstElementChild.cloneNode(true);
  item.classList.add(`tone-${kind}`);
  item.querySelector(".toast-text").textContent = text;
  item.querySelector(".toast-id").textContent = id;
  area.append(item);
  watch(item, kind);
}

function watch(item, kind) {
  item.querySelector("button")?.addEventListener("click", () => item.remove());
  if (kind !== "bad" && kind !== "ask") setTimeout(() => item.remove(), SHOWN_MS);
}

export function start() {
  for (const item of document.querySelectorAll("#toasts > .at-toast")) watch(item, item.dataset.kind);
  document.addEventListener("htmx:error", (event) => {
    if (event.detail?.ctx) toast(words.no_answer, "bad");
  });
  document.addEventListener("htmx:response:error", (event) => {
    const raw = event.detail.ctx.response.raw;
    const id = raw?.headers?.get("X-Error-Id") || "";
    if (!event.detail.ctx.sourceElement?.hasAttribute("data-live-get")) toast(words.no_answer, "bad", id);
  });
}
