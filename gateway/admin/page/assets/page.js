// Keeps the page up to date: asks the server for it again and changes what is different. Rendering is the server's alone.
"use strict";

const INTERVAL = 2000; // milliseconds between two looks, more where an answer takes long
const LONGEST = 15000;
const PATIENCE = 8000; // for an answer
const root = document.documentElement;
const byId = (id) => document.getElementById(id);

let isPaused = false;
let lastHeard = Date.now();
let summary = byId("live").dataset.summary;
let asked = 0; // looks so far: an answer that is overtaken by a newer look is dropped
let timer = 0;
let took = 0; // milliseconds, the last answer
let token = "";

// --- looking ------------------------------------------------------------------------------------

async function look() {
  clearTimeout(timer);
  const mine = ++asked;
  const began = performance.now();
  try {
    const answer = await fetch("/live" + location.search, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const text = await answer.text();
    if (mine !== asked) return;
    morph(byId("live"), new DOMParser().parseFromString(text, "text/html").getElementById("live"));
    took = performance.now() - began;
    lastHeard = Date.now();
    announce();
    showSilence("");
  } catch (error) {
    if (mine !== asked) return;
    const seconds = Math.round((Date.now() - lastHeard) / 1000);
    showSilence(`No answer for ${seconds} s (${error.message}). Trying again; what follows is the last that was heard.`);
  }
  schedule();
}

function schedule() {
  clearTimeout(timer);
  if (!isPaused && !document.hidden) timer = setTimeout(look, Math.min(LONGEST, Math.max(INTERVAL, 10 * took)));
}

function showSilence(text) {
  const line = byId("silence");
  if (line.textContent !== text) line.textContent = text;
  line.hidden = !text;
}

// Only what is worth interrupting somebody for.
function announce() {
  const now = byId("live").dataset.summary;
  if (now !== summary) byId("announce").textContent = now;
  summary = now;
}

// --- changing what is different -----------------------------------------------------------------

const OWN = { DETAILS: ["open"], BUTTON: ["disabled", "aria-pressed"], FIGURE: ["data-at"] }; // what people set

function morph(old, wanted) {
  const kept = OWN[old.nodeName] ?? [];
  for (const { name, value } of wanted.attributes) {
    if (!kept.includes(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!wanted.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  }
  if (old.dataset?.own !== undefined) return;
  const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let next = old.firstChild;
  for (const child of [...wanted.childNodes]) {
    let same = child.id ? named.get(child.id) : next;
    if (same && !child.id && (same.nodeName !== child.nodeName || same.id)) same = null;
    if (!same) {
      old.insertBefore(document.adoptNode(child), next);
      continue;
    }
    if (same === next) next = next.nextSibling;
    else old.insertBefore(same, next);
    if (same.nodeType === Node.ELEMENT_NODE) morph(same, child);
    else if (same.data !== child.data) same.data = child.data;
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

// --- operating ----------------------------------------------------------------------------------

async function operate(button) {
  const { operation, service, instance } = button.dataset;
  if (document.body.dataset.needsToken === "yes" && !token && !(token = await askToken())) return;
  button.disabled = true;
  try {
    const answer = await fetch(`/api/${operation}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Gw-Page": "1", ...(token && { Authorization: `Bearer ${token}` }) },
      body: JSON.stringify(service === undefined ? {} : { service, instance, by: "the web page" }),
    });
    const said = await answer.json();
    if (answer.status === 401) token = "";
    toast(answer.ok ? told(operation, said, instance) : [said.detail, ...(said.problems ?? [])].join("\n"), !answer.ok);
  } catch (error) {
    toast(`No answer: ${error.message}`, true);
  }
  button.disabled = false;
  look();
}

function told(operation, said, instance) {
  if (operation !== "reload") return `${instance} ${operation === "drain" ? "is drained" : "takes part again"}`;
  const later = said.needs_restart?.length ? `. After a restart: ${said.needs_restart.join(", ")}` : "";
  return `Configuration applied${later}`;
}

function askToken() {
  const dialog = byId("ask");
  const input = byId("token");
  input.value = "";
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? input.value : ""), { once: true });
  });
}

let toastTimer = 0;
function toast(text, isBad) {
  const output = byId("toast");
  output.textContent = text;
  output.classList.toggle("bad", isBad);
  output.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { output.hidden = true; }, isBad ? 12000 : 4000);
}

// --- pointing at charts -------------------------------------------------------------------------

function point(event) {
  const plot = event.target.closest?.(".plot");
  for (const other of document.querySelectorAll(".readout")) if (other.parentNode !== plot) other.remove();
  if (!plot) return;
  const figure = plot.parentNode;
  const { left, width } = plot.getBoundingClientRect();
  const share = Math.min(1, Math.max(0, (event.clientX - left) / width));
  const seconds = Number(figure.dataset.seconds);
  const slots = Number(figure.dataset.slots);
  const parts = [];
  for (let line = 1; figure.hasAttribute(`data-values-${line}`); line++) {
    const values = figure.getAttribute(`data-values-${line}`).split(" ");
    const value = values[Math.round(share * (slots - 1)) - (slots - values.length)];
    if (value === undefined || value === "" || value === "-") continue;
    const label = figure.getAttribute(`data-label-${line}`);
    parts.push(label.includes("/s") ? `${Number(value).toLocaleString("en")} ${label}` : `${label} ${milliseconds(value)}`);
  }
  const ago = Math.round(seconds * (1 - share));
  let readout = plot.querySelector(".readout");
  if (!readout) {
    readout = document.createElement("span");
    readout.className = "readout";
    readout.dataset.own = "";
    plot.append(readout);
  }
  readout.textContent = `${parts.join(", ") || "nothing"} · ${ago >= 60 ? `${Math.floor(ago / 60)} min ` : ""}${ago % 60} s ago`;
  readout.style.setProperty("--at", `${share * 100}%`);
  readout.classList.toggle("left", share > 0.5);
}

function milliseconds(seconds) {
  return seconds >= 1 ? `${Number(seconds).toFixed(1)} s` : `${(seconds * 1000).toFixed(seconds >= 0.01 ? 0 : 1)} ms`;
}

// --- what people do -----------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.operation) operate(button);
  else if (button.id === "theme") switchTheme();
  else if (button.id === "pause") pause(button);
});

function switchTheme() {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  try { localStorage.setItem("gw-theme", root.dataset.theme); } catch { /* for this visit, then */ }
}

function pause(button) {
  isPaused = !isPaused;
  button.setAttribute("aria-pressed", String(isPaused));
  root.classList.toggle("paused", isPaused);
  if (isPaused) clearTimeout(timer);
  else look();
}

let typing = 0;
document.addEventListener("input", (event) => {
  if (event.target.id !== "filter") return;
  clearTimeout(typing);
  typing = setTimeout(() => {
    const text = event.target.value;
    history.replaceState(null, "", text ? `/?q=${encodeURIComponent(text)}` : "/");
    look();
  }, 200);
});
document.addEventListener("submit", (event) => {
  if (event.target.id === "search") event.preventDefault();
});
document.addEventListener("pointermove", point);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : !isPaused && look()));
schedule();
