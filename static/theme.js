// Loaded before the first paint (a classic script, so that it blocks): the chosen theme must not flash.
try {
  const theme = localStorage.getItem("omni-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be refused (private windows): the system theme is used.
}
