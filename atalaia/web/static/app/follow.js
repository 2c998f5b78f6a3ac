// The tail of a list: held, it only says how many are new; followed, it is fetched as events come, but never
// while the pointer or the focus is on it, so that nothing moves under a hand.

import { fetchRegion } from "./live.js";

const PAUSE_MS = 300;

function set(button, on) {
  const region = document.getElementById(button.dataset.follow);
  const news = document.getElementById("news");
  button.setAttribute("aria-pressed", String(on));
  for (const part of button.querySelectorAll("[data-when]")) part.hidden = (part.dataset.when === "on") !== on;
  if (on) {
    region.dataset.liveOn = news.dataset.liveOn;
    news.hidden = true;
    fetchRegion(region);
  } else {
    delete region.dataset.liveOn;
    location.reload(); // from here on the page counts what is new
  }
}

for (const button of document.querySelectorAll("[data-follow]")) {
  const region = document.getElementById(button.dataset.follow);
  let topics = "";
  const hold = () => {
    if (!region.dataset.liveOn) return;
    topics = region.dataset.liveOn;
    delete region.dataset.liveOn;
  };
  const go = () => setTimeout(() => {
    if (!topics || region.matches(":hover") || region.contains(document.activeElement)) return;
    region.dataset.liveOn = topics;
    topics = "";
    fetchRegion(region);
  }, PAUSE_MS);
  button.addEventListener("click", () => { topics = ""; set(button, button.getAttribute("aria-pressed") !== "true"); });
  region.addEventListener("pointerenter", hold);
  region.addEventListener("pointerleave", go);
  region.addEventListener("focusin", hold);
  region.addEventListener("focusout", go);
}
