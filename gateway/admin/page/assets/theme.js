// Before the page is painted: the chosen colours, and that there is JavaScript.
"use strict";
{
  const root = document.documentElement;
  root.classList.add("js");
  let chosen = null;
  try { chosen = localStorage.getItem("gw-theme"); } catch { /* storage may be forbidden: then the system decides */ }
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
}
