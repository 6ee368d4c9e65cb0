// What every part of the page uses.

const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (name === "vars") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** element("p", { class: "note", text: "…" }, …children); `vars` are CSS custom properties. */
const element = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const shape = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

const count = (number, one, many = one + "s") => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
const shorten = (text, length) => (text.length <= length ? text : text.slice(0, length - 1).trimEnd() + "…");
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Arrow keys, Home and End among `items`, of which one is in the order of the tab key. `step` maps a key to an index. */
function rove(container, items, step) {
  container.addEventListener("keydown", (event) => {
    const list = items();
    const at = list.indexOf(event.target.closest("[tabindex],button"));
    if (at < 0) return;
    const next = event.key === "Home" ? 0 : event.key === "End" ? list.length - 1 : step(event.key, at, list.length);
    if (next === undefined || next === at || !list[next]) return;
    event.preventDefault();
    list[at].tabIndex = -1;
    list[next].tabIndex = 0;
    list[next].focus();
  });
}

const alongRow = (key, at, size) => ({ ArrowRight: (at + 1) % size, ArrowDown: (at + 1) % size, ArrowLeft: (at + size - 1) % size, ArrowUp: (at + size - 1) % size })[key];

/** A list of tabs: `choose(tab)` is called for the one that was clicked or reached by the arrow keys. */
function makeTabs(tabs, choose) {
  const select = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", tab === chosen);
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    choose(chosen);
  };
  for (const tab of tabs) {
    for (const kind of ["click", "focus"]) tab.addEventListener(kind, () => tab.getAttribute("aria-selected") !== "true" && select(tab));
  }
  rove(tabs[0].parentElement, () => tabs, alongRow);
  return select;
}

/** What this tab remembers; nothing where storage is forbidden. */
const memory = {
  get(name) {
    try {
      return sessionStorage.getItem("stella." + name);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      if (value === null) sessionStorage.removeItem("stella." + name);
      else sessionStorage.setItem("stella." + name, value);
    } catch {
      // too large, or forbidden: the page works without
    }
  },
};
