// The composer: it sends without leaving the page, by Enter; takes files from the picker, the clipboard and by drag;
// answers one message. What was written is lost only after the hub has taken it.

import { toast } from "./toasts.js";
import { fill } from "./words.js";

const csrf = () => JSON.parse(document.body.getAttribute("hx-headers:inherited") || "{}");
const MB = 1024 * 1024;
const touch = matchMedia("(pointer: coarse)");

/** Post a form without leaving the page; answers whether it was taken. What went wrong is said in the corner. */
async function post(action, body, failed) {
  try {
    const answer = await fetch(action, { method: "POST", headers: { ...csrf(), "HX-Request": "true" }, body });
    if (answer.ok) return true;
    const plain = (answer.headers.get("Content-Type") || "").startsWith("text/plain");
    toast(plain ? await answer.text() : failed, "bad", answer.headers.get("X-Error-Id") || "");
  } catch {
    toast(failed, "bad");
  }
  return false;
}

/** A new id for what is written next: the same one again is sent once. */
const newId = () => (crypto.randomUUID ? crypto.randomUUID()
  : [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join(""));

class Composer {
  constructor(form) {
    this.form = form;
    this.box = form.querySelector("textarea");
    this.picker = form.querySelector("[data-files]");
    this.shown = form.querySelector("[data-files-shown]");
    this.replyTo = form.querySelector("[data-reply-to]");
    this.replyShown = form.querySelector("[data-reply-shown]");
    this.sending = false;
    this.listen();
  }

  listen() {
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
    this.box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing || event.shiftKey) return;
      if (touch.matches && !event.ctrlKey && !event.metaKey) return; // a phone's keyboard has no other way to a new line
      event.preventDefault();
      this.form.requestSubmit();
    });
    this.box.addEventListener("paste", (event) => this.add(event.clipboardData?.files, event));
    const area = this.form.closest("section") || this.form;
    area.addEventListener("dragover", (event) => {
      if (event.dataTransfer?.types.includes("Files")) { event.preventDefault(); this.form.classList.add("is-over"); }
    });
    area.addEventListener("dragleave", (event) => {
      if (!area.contains(event.relatedTarget)) this.form.classList.remove("is-over");
    });
    area.addEventListener("drop", (event) => { this.form.classList.remove("is-over"); this.add(event.dataTransfer?.files, event); });
    this.picker.addEventListener("change", () => { this.picked = this.checked([...this.picker.files]); this.put(this.picked); });
    this.form.querySelector("[data-reply-off]").addEventListener("click", () => { this.answer("", ""); this.box.focus(); });
  }

  async send() {
    const fields = new FormData(this.form);
    const files = this.picker.files.length;
    const place = String(fields.get("latitude")).trim() || String(fields.get("longitude")).trim();
    if (this.sending || (!this.box.value.trim() && !files && !place)) return;
    if (!files) fields.delete("file");
    this.sending = true;
    this.form.setAttribute("aria-busy", "true");
    const written = this.box.value;
    if (await post(this.form.getAttribute("action"), fields, this.form.dataset.failed)) this.clear(written);
    this.sending = false;
    this.form.removeAttribute("aria-busy");
  }

  /** Make room for the next message; what was written meanwhile stays. */
  clear(written) {
    this.box.value = this.box.value.startsWith(written) ? this.box.value.slice(written.length) : this.box.value;
    this.box.dispatchEvent(new Event("input", { bubbles: true }));
    for (const field of this.form.querySelectorAll("[name=latitude],[name=longitude]")) field.value = "";
    for (const menu of this.form.querySelectorAll("details[open]")) menu.open = false;
    this.form.elements.request_id.value = newId();
    this.put([]);
    this.answer("", "");
    this.box.focus();
  }

  add(files, event) {
    if (!files?.length) return;
    event.preventDefault();
    this.put([...this.picker.files, ...this.checked([...files])]);
    this.box.focus();
  }

  /** What is too large is said at once, not after minutes of sending. */
  checked(files) {
    return files.filter((file) => {
      const most = /^image\/(jpeg|png|webp)$/.test(file.type) ? this.picker.dataset.imageMax : this.picker.dataset.fileMax;
      if (file.size <= Number(most)) return true;
      toast(fill(this.picker.dataset.tooLarge, file.name, Number(most) / MB), "bad");
      return false;
    });
  }

  put(files) {
    const held = new DataTransfer();
    for (const file of files) held.items.add(file);
    this.picker.files = held.files;
    this.shown.hidden = !files.length;
    this.shown.replaceChildren(...files.map((file, place) => {
      const item = document.createElement("li");
      const off = document.createElement("button");
      off.type = "button";
      off.className = "btn btn-sm btn-ghost";
      off.textContent = "×";
      off.setAttribute("aria-label", fill(this.picker.dataset.off, file.name));
      off.addEventListener("click", () => this.put(files.filter((_, other) => other !== place)));
      item.append(file.name, off);
      return item;
    }));
  }

  answer(message, quote) {
    this.replyTo.value = message;
    this.replyShown.hidden = !message;
    this.replyShown.querySelector("span:not(.visually-hidden)").textContent = quote.slice(0, 200);
    if (message) this.box.focus();
  }
}

export function start() {
  const form = document.querySelector("form[data-composer]");
  const composer = form ? new Composer(form) : null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-reply]");
    if (!button || !composer) return;
    button.closest("details")?.removeAttribute("open");
    composer.answer(button.dataset.reply, button.dataset.quote);
  });
  document.addEventListener("submit", (event) => {
    const stays = event.target.closest("form[data-stay]");
    if (!stays) return;
    event.preventDefault();
    const fields = new FormData(stays, event.submitter);
    stays.closest("details")?.removeAttribute("open");
    post(stays.getAttribute("action"), new URLSearchParams(fields), form?.dataset.failed || "");
  });
}
