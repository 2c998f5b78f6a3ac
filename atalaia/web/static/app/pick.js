// A text field with a long list: what is typed narrows it, one tap takes a line. Without this script the
// browser's own list of the field does the same, less comfortably.
//   <input list="model-list" data-pick>   …   <datalist id="model-list">   its options may be changed by others

import { words } from "./words.js";

const SHOWN = 40;
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

function enhance(input) {
  const source = input.getAttribute("list");
  input.removeAttribute("list");
  const box = document.createElement("ul");
  box.id = `${input.id}-pick`;
  box.className = "pick";
  box.role = "listbox";
  box.hidden = true;
  box.setAttribute("aria-label", input.labels?.[0]?.firstChild?.textContent.trim() ?? "");
  input.after(box);
  for (const [name, value] of Object.entries({ role: "combobox", "aria-expanded": "false", "aria-controls": box.id, "aria-autocomplete": "list" })) {
    input.setAttribute(name, value);
  }
  let at = -1;

  const close = () => { box.hidden = true; at = -1; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); };
  const take = (text) => {
    input.value = text;
    close();
    input.dispatchEvent(new Event("input", { bubbles: true }));
    close();
  };
  const show = () => {
    const asked = plain(input.value).split(/\s+/).filter(Boolean);
    const all = [...(document.getElementById(source)?.options ?? [])].map((option) => (
      { value: option.value, name: option.label === option.value ? "" : option.label }));
    // The whole list again when the field holds one of its values: somebody comes back to choose another.
    const chosen = all.some((one) => one.value === input.value);
    const fits = chosen ? all : all.filter((one) => { const text = plain(`${one.value} ${one.name}`); return asked.every((part) => text.includes(part)); });
    if (!all.length || (chosen && document.activeElement !== input)) return close();
    box.replaceChildren(...fits.slice(0, SHOWN).map((one, place) => {
      const item = document.createElement("li");
      item.id = `${box.id}-${place}`;
      item.role = "option";
      item.dataset.value = one.value;
      item.textContent = one.value;
      if (one.name) {
        const name = document.createElement("span");
        name.className = "sub";
        name.textContent = ` ${one.name}`;
        item.append(name);
      }
      return item;
    }));
    if (!fits.length) {
      const item = document.createElement("li");
      item.className = "nothing";
      item.role = "option";
      item.setAttribute("aria-disabled", "true");
      item.textContent = words.nothing_fits;
      box.append(item);
    }
    box.hidden = false;
    at = -1;
    input.setAttribute("aria-expanded", "true");
  };
  const move = (step) => {
    const items = [...box.querySelectorAll("[role=option]:not([aria-disabled])")];
    if (!items.length) return;
    at = (at + step + items.length) % items.length;
    items.forEach((item, place) => item.setAttribute("aria-selected", String(place === at)));
    items[at].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", items[at].id);
  };

  input.addEventListener("input", show);
  input.addEventListener("focus", show);
  input.addEventListener("blur", () => setTimeout(close, 150)); // after the tap that takes a line
  box.addEventListener("pointerdown", (event) => event.preventDefault());
  box.addEventListener("click", (event) => {
    const item = event.target.closest("[role=option]:not([aria-disabled])");
    if (item) take(item.dataset.value);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (box.hidden) show();
      move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && !box.hidden && at >= 0) {
      event.preventDefault();
      take(box.querySelectorAll("[role=option]")[at].dataset.value);
    } else if (event.key === "Escape" && !box.hidden) {
      event.preventDefault();
      close();
    }
  });
}

for (const input of document.querySelectorAll("input[data-pick]")) enhance(input);
