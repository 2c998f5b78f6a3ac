// A form that is tested before it is saved: after a change the last test counts no more, and says so by
// the button that is closed again; fields that a test found wrong are marked where they stand.

const form = document.querySelector("form[data-setup]");

function outdated() {
  const stamp = form.elements.stamp;
  if (stamp) stamp.value = "";
  const save = form.querySelector("[data-setup-save]");
  if (save && !("untested" in form.dataset)) save.disabled = true;
}

function mark() {
  for (const field of form.querySelectorAll(".is-invalid")) {
    field.classList.remove("is-invalid");
    field.removeAttribute("aria-invalid");
  }
  for (const link of form.querySelectorAll("[data-field-error]")) {
    const name = link.dataset.fieldError === "name" ? "connection_name" : link.dataset.fieldError;
    const field = form.elements[name];
    if (!field) continue;
    link.textContent = field.labels?.[0]?.firstChild?.textContent.trim() || name;
    link.href = `#${field.id}`;
    field.classList.add("is-invalid");
    field.setAttribute("aria-invalid", "true");
    field.closest("details")?.setAttribute("open", "");
  }
}

if (form) {
  form.addEventListener("input", (event) => { if (!event.target.closest("#tried")) outdated(); });
  form.addEventListener("submit", (event) => {
    event.preventDefault(); // Enter in a field tests
    form.querySelector("[data-setup-test], [data-untested] [data-setup-save]")?.click();
  });
  document.addEventListener("htmx:after:swap", mark);
  form.addEventListener("click", (event) => {
    const link = event.target.closest("[data-field-error]");
    if (!link) return;
    event.preventDefault();
    document.querySelector(link.getAttribute("href"))?.focus();
  });
}
