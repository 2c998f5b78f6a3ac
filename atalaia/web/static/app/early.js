// Runs before the first paint: a theme left to the system is looked up here, so that nothing flashes.
(() => {
  const html = document.documentElement;
  if (html.dataset.themeChoice !== "auto") return;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => {
    if (html.dataset.themeChoice === "auto") html.dataset.bsTheme = dark.matches ? "dark" : "light";
  };
  dark.addEventListener("change", follow);
  follow();
})();
