// Theme, density and language: choices of this device, kept in cookies that the server reads.

import { setPreference } from "./words.js";

function setTheme(choice) {
  const html = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  html.dataset.themeChoice = choice;
  html.dataset.bsTheme = choice === "auto" ? (dark ? "dark" : "light") : choice;
  setPreference("atalaia_theme", choice);
  mark("theme", choice);
  document.dispatchEvent(new CustomEvent("atalaia:theme"));
}

function setDensity(choice) {
  document.documentElement.dataset.density = choice;
  setPreference("atalaia_density", choice);
  mark("density", choice);
}

function mark(kind, choice) {
  for (const button of document.querySelectorAll(`[data-set-${kind}]`)) {
    button.setAttribute("aria-pressed", String(button.getAttribute(`data-set-${kind}`) === choice));
  }
}

export function start() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-set-theme], [data-set-density]");
    if (!button) return;
    if (button.dataset.setTheme) setTheme(button.dataset.setTheme);
    if (button.dataset.setDensity) setDensity(button.dataset.setDensity);
  });
}
