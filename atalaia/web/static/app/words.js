// The page's words and its server's clock, for all the other modules.

const block = document.getElementById("atalaia-words");
export const words = block ? JSON.parse(block.textContent) : {};

export const language = document.documentElement.lang || "pt-BR";
export const zone = document.documentElement.dataset.zone || undefined;

let ahead = Number(document.documentElement.dataset.now || Date.now()) - Date.now();

/** Unix milliseconds by the server's clock; the browser's own may be wrong. */
export const now = () => Date.now() + ahead;

/** Take the server's clock from a message that has just arrived. */
export const setNow = (serverMs) => { ahead = serverMs - Date.now(); };

/** Put values into the `{}` places of a sentence. */
export const fill = (text, ...values) => values.reduce((out, value) => out.replace("{}", value), text || "");

/** Say how many are new, in the right form. */
export const news = (count) => fill(count === 1 ? words.news_one : words.news_many, count);

/** Keep a choice of this device for a year. */
export function setPreference(name, value) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `${name}=${encodeURIComponent(value)}; path=/; max-age=31536000; samesite=lax${secure}`;
}
