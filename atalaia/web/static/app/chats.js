// The open conversation: it shows its end, notes that it was read, keeps what is being written, inserts replies.

const DRAFT_MS = 700;
const NEAR_PX = 120;

const csrf = () => JSON.parse(document.body.getAttribute("hx-headers:inherited") || "{}");

/** Send a form's fields without leaving the page. */
function send(path, fields) {
  return fetch(path, {
    method: "POST", headers: csrf(), body: new URLSearchParams(fields), keepalive: true, redirect: "manual",
  });
}

function followEnd(talk) {
  const toEnd = () => { talk.scrollTop = talk.scrollHeight; };
  if (location.hash.startsWith("#m-")) document.getElementById(location.hash.slice(1))?.scrollIntoView({ block: "center" });
  else toEnd();
  let near = true;
  talk.addEventListener("scroll", () => {
    near = talk.scrollHeight - talk.scrollTop - talk.clientHeight < NEAR_PX;
  }, { passive: true });
  new MutationObserver(() => { if (near) toEnd(); noteRead(talk); }).observe(talk, { childList: true, subtree: true });
}

/** What is on a screen that somebody looks at was read. */
function noteRead(talk) {
  const mark = talk.querySelector("[data-unread]");
  if (!mark || document.hidden || mark.dataset.unread === "0") return;
  mark.dataset.unread = "0";
  send(mark.dataset.readAt, {}).catch(() => {}); // the next message or look tries again
}

function keepDrafts(box) {
  let timer = 0;
  let kept = box.value;
  const keep = () => {
    clearTimeout(timer);
    if (box.value === kept) return;
    kept = box.value;
    send(box.dataset.draft, { text: kept }).catch(() => { kept = null; });
  };
  box.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(keep, DRAFT_MS); });
  // The composer stays on the page, and may be told that nothing was taken.
  if (!box.form?.matches("[data-composer]")) box.form?.addEventListener("submit", () => { clearTimeout(timer); kept = box.value; });
  addEventListener("pagehide", keep);
}

function insert(button) {
  const box = document.getElementById(button.dataset.insert);
  if (!box) return;
  box.setRangeText(button.dataset.text, box.selectionStart, box.selectionEnd, "end");
  box.dispatchEvent(new Event("input", { bubbles: true }));
  box.focus();
}

/** A first message whose conversation is there by now: go where it is. */
function goOn(region) {
  new MutationObserver(() => {
    const link = region.querySelector("a[data-go-on]");
    if (link) location.replace(link.href);
  }).observe(region, { childList: true, subtree: true });
}

export function start() {
  const first = document.getElementById("first");
  if (first) goOn(first);
  const talk = document.querySelector("[data-bottom]");
  if (talk) {
    followEnd(talk);
    noteRead(talk);
    document.addEventListener("visibilitychange", () => noteRead(talk));
  }
  for (const box of document.querySelectorAll("[data-draft]")) keepDrafts(box);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-insert]");
    if (button) insert(button);
  });
}
