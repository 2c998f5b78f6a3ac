// A form that is kept on the device while it is filled in: a phone that falls asleep, a tab that is closed or a
// call that comes in between loses nothing. What was sent is forgotten once another page has come.
//   <form data-draft="install">   fields by name, without secrets, files and the form's token

const KEPT_MS = 24 * 3600 * 1000;
const form = document.querySelector("form[data-draft]");
const nameOf = (key) => `atalaia-draft-${key}`;
const LEFT_OUT = new Set(["csrf"]);

function read(key) {
  try {
    const kept = JSON.parse(localStorage.getItem(nameOf(key)) || "null");
    return kept && Date.now() - kept.at < KEPT_MS ? kept : null;
  } catch {
    return null;
  }
}

function write(key, kept) {
  try {
    if (kept) localStorage.setItem(nameOf(key), JSON.stringify(kept));
    else localStorage.removeItem(nameOf(key));
  } catch {
    // a private window keeps nothing
  }
}

function values() {
  const found = {};
  for (const field of form.elements) {
    const hidden = field.type === "hidden" && field.name !== "key"; // the key makes a second sending the same one
    if (!field.name || LEFT_OUT.has(field.name) || hidden || ["file", "password", "submit", "button"].includes(field.type)) continue;
    found[field.name] = field.type === "checkbox" ? field.checked : field.value;
  }
  return found;
}

function restore(kept) {
  for (const [name, value] of Object.entries(kept.values)) {
    const field = form.elements[name];
    if (!field || field instanceof RadioNodeList) continue;
    if (field.type === "checkbox") field.checked = value;
    else field.value = value;
  }
  for (const select of form.querySelectorAll("select[hx-get]")) select.dispatchEvent(new Event("change", { bubbles: true }));
}

if (form) {
  const key = form.dataset.draft;
  const kept = read(key);
  const note = document.getElementById("draft-note");
  const filled = kept && Object.entries(kept.values).some(([name, value]) => name !== "key" && value && value !== form.elements[name]?.value);
  // After an error the server's own fields are the newer ones.
  if (filled && !form.hasAttribute("data-draft-newer")) {
    restore(kept);
    if (note) note.hidden = false;
  }
  note?.querySelector("button")?.addEventListener("click", () => { write(key, null); location.assign(form.dataset.draftFresh || location.href); });
  form.addEventListener("input", () => write(key, { at: Date.now(), values: values() }));
  form.addEventListener("submit", (event) => { if (!event.defaultPrevented) write(key, { at: Date.now(), values: values(), sent: true }); });
} else {
  for (const name of Object.keys(localStorage).filter((one) => one.startsWith(nameOf("")))) {
    if (read(name.slice(nameOf("").length))?.sent) localStorage.removeItem(name);
  }
}
