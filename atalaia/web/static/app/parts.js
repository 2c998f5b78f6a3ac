// Behaviour of small parts: menus, dialogs, copying, rows that open, tables that stack, forms that wait.

import { words } from "./words.js";
import { toast } from "./toasts.js";

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(except)) menu.open = false;
  }
}

async function copy(button) {
  const source = button.dataset.copy ?? document.getElementById(button.dataset.copyFrom)?.textContent ?? "";
  try {
    await navigator.clipboard.writeText(source);
    toast(words.copied, "good");
  } catch {
    toast(words.not_copied, "ask");
  }
}

function openRow(event) {
  const row = event.target.closest("tr, .row-like");
  const link = row?.querySelector("a.row-link");
  if (!link || event.target.closest("a, button, input, label, summary, select, textarea")) return;
  if (String(getSelection())) return;
  if (event.ctrlKey || event.metaKey) open(link.href, "_blank", "noopener");
  else link.click();
}

/** Cells learn their column's name, which stands before them when a table stacks on a phone. */
export function labelCells(root = document) {
  for (const table of root.querySelectorAll("table.stacks")) {
    const names = [...table.querySelectorAll("thead th")].map((cell) => cell.dataset.short ?? cell.textContent.trim());
    for (const row of table.tBodies[0]?.rows ?? []) {
      [...row.cells].forEach((cell, place) => {
        if (!cell.hasAttribute("data-label") && cell.colSpan === 1) cell.dataset.label = names[place] ?? "";
      });
    }
  }
}

function onClick(event) {
  const at = (selector) => event.target.closest(selector);
  closeMenus(event.target);
  if (at("[data-copy], [data-copy-from]")) return copy(at("[data-copy], [data-copy-from]"));
  if (at("[data-open]")) return document.getElementById(at("[data-open]").dataset.open)?.showModal();
  if (at("[data-close]")) return at("dialog")?.close();
  if (event.target.matches?.("dialog")) return event.target.close(); // a click beside the box
  openRow(event);
}

function onSubmit(event) {
  const button = event.submitter;
  if (event.defaultPrevented || !button || event.target.method !== "post") return;
  if (event.target.dataset.sent) return event.preventDefault(); // a double click sends once
  if (!navigator.onLine) { // the browser's own page would take this one, and what is in it, away
    event.preventDefault();
    return toast(words.not_sent, "ask");
  }
  event.target.dataset.sent = "1";
  button.setAttribute("aria-busy", "true");
}

export function start() {
  document.addEventListener("click", onClick);
  document.addEventListener("submit", onSubmit);
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit-on-change]")) event.target.form?.requestSubmit();
  });
  document.addEventListener("toggle", (event) => {
    if (event.target.matches?.("details.menu") && event.target.open) {
      event.target.querySelector("a, button, input")?.focus();
    }
  }, true);
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      for (const busy of form.querySelectorAll("[aria-busy]")) busy.removeAttribute("aria-busy");
    }
  });
  document.addEventListener("htmx:after:swap", () => labelCells());
  labelCells();
}
