// Keys: j/k rows, Enter open, Esc back, g + letter go, / search, ? help, and the page's own: what has
// data-key="e" is clicked, or focused when it is a field. Never while one is typing.

const GO_WAIT_MS = 1200;
let goUntil = 0;

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable=true]");

const visible = (element) => element.getClientRects().length > 0;

/** Move the focus along the rows of the page. */
function move(step) {
  const rows = [...document.querySelectorAll("main a.row-link")].filter(visible);
  if (!rows.length) return;
  const here = rows.findIndex((row) => row === document.activeElement
    || row.closest("tr, .row-like")?.contains(document.activeElement));
  const next = here < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, here + step));
  rows[next].focus({ preventScroll: true });
  rows[next].scrollIntoView({ block: "nearest" });
}

function back() {
  const menu = document.querySelector("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary")?.focus();
    return;
  }
  if (document.activeElement && document.activeElement !== document.body && typing(document.activeElement)) {
    document.activeElement.blur();
    return;
  }
  document.querySelector("a[rel=up]")?.click();
}

function go(letter) {
  const link = document.querySelector(`[data-go="${CSS.escape(letter)}"]`);
  if (link) location.href = link.href;
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return; // a dialog closes itself on Esc
  if (event.key === "Escape") return back();
  if (typing(event.target)) return;
  if (goUntil > performance.now()) {
    goUntil = 0;
    return go(event.key.toLowerCase());
  }
  const does = {
    j: () => move(1),
    k: () => move(-1),
    g: () => { goUntil = performance.now() + GO_WAIT_MS; },
    "/": () => document.getElementById("search")?.focus(),
    "?": () => document.getElementById("keys-help")?.showModal(),
  }[event.key];
  const own = does ? null : [...document.querySelectorAll("main [data-key]")]
    .find((one) => one.dataset.key === event.key && visible(one));
  if (!does && !own) return;
  event.preventDefault();
  if (does) does();
  else if (typing(own)) own.focus();
  else own.click();
}

export function start() {
  document.addEventListener("keydown", onKey);
}
