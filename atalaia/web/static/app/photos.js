// Photos of an installation: a tap on a tile opens the camera; what was taken is kept on the device until the
// hub has it, so that a phone without signal, or one that falls asleep, loses nothing.

import { fetchRegion } from "./live.js";
import { toast } from "./toasts.js";
import { fill, words } from "./words.js";

const SIDE_MAX = 2560;          // enough to read a chassis number
const SMALL_BYTES = 1_500_000;  // is sent as it is
const AGAIN_MS = 15_000;
const form = document.querySelector("form[data-photos]");
const list = document.getElementById("photos-waiting");
let sending = false;

/** The device's own shelf; answers a promise of what `work` asks of it. */
function shelf(mode, work) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("atalaia-photos", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("waiting", { keyPath: "id", autoIncrement: true });
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const asked = work(opening.result.transaction("waiting", mode).objectStore("waiting"));
      asked.onsuccess = () => { resolve(asked.result); opening.result.close(); };
      asked.onerror = () => { reject(asked.error); opening.result.close(); };
    };
  });
}

const waiting = () => shelf("readonly", (store) => store.getAll());

/** A large photo is made smaller before it goes over a phone's network; what cannot be read is sent as it is. */
async function smaller(file) {
  if (file.size <= SMALL_BYTES) return file;
  try {
    const image = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, SIDE_MAX / Math.max(image.width, image.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(image.width * scale);
    canvas.height = Math.round(image.height * scale);
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    image.close();
    return await new Promise((resolve) => canvas.toBlob((blob) => resolve(blob || file), "image/jpeg", 0.86));
  } catch {
    return file;
  }
}

async function take(input) {
  const files = [...input.files];
  input.value = "";
  for (const file of files) {
    const blob = await smaller(file);
    const one = { action: form.getAttribute("action"), kind: input.dataset.kind, blob, at: Date.now() };
    try {
      await shelf("readwrite", (store) => store.add(one));
    } catch {
      await send(one); // a private window keeps nothing: then at once or never
    }
  }
  await flush();
}

/** Send one photo. Answers whether it is settled: taken, or refused for good. */
async function send(one) {
  const body = new FormData();
  body.set("kind", one.kind);
  body.set("photo", one.blob, "photo.jpg");
  const headers = { "HX-Request": "true", ...JSON.parse(document.body.getAttribute("hx-headers:inherited") || "{}") };
  const answer = await fetch(one.action, { method: "POST", body, headers, redirect: "manual" });
  if (answer.status === 204) return true;
  if (answer.status === 422 || answer.status === 413 || answer.status === 404) {
    toast((await answer.text()).slice(0, 300) || words.no_answer, "bad");
    return true;
  }
  return false; // signed out, or the hub is on its way: later
}

async function flush() {
  if (sending) return;
  sending = true;
  try {
    for (const one of await waiting()) {
      await draw();
      if (!(await send(one))) break;
      await shelf("readwrite", (store) => store.delete(one.id));
    }
  } catch {
    // no network: it stays on the shelf, and the list says so
  } finally {
    sending = false;
  }
  await draw();
}

async function draw() {
  const mine = (await waiting().catch(() => [])).filter((one) => one.action === form.getAttribute("action"));
  list.hidden = !mine.length;
  list.replaceChildren(...mine.map((one) => {
    const item = document.createElement("li");
    const tile = form.querySelector(`[data-kind="${CSS.escape(one.kind)}"]`)?.closest("label");
    item.textContent = fill(words.photo_waits, tile?.querySelector("span")?.textContent ?? one.kind);
    return item;
  }));
  const region = document.getElementById("photos-box");
  if (region && mine.length < shownWaiting) fetchRegion(region);
  shownWaiting = mine.length;
}
let shownWaiting = 0;

if (form) {
  document.addEventListener("change", (event) => {
    if (event.target.matches("form[data-photos] input[type=file]")) take(event.target);
  });
  addEventListener("online", flush);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) flush(); });
  setInterval(async () => { if (!document.hidden && shownWaiting) flush(); }, AGAIN_MS);
  flush();
}
