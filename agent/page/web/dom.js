// Building and changing elements. Text from the router only ever becomes text nodes and attribute values.

const svgNS = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

// el makes an element. Attributes that are null or false are left out; on… are listeners; cls is the class.
function el(tag, attrs, ...children) {
  return fill(document.createElement(tag), attrs, children);
}

function svg(tag, attrs, ...children) {
  return fill(document.createElementNS(svgNS, tag), attrs, children);
}

function fill(e, attrs, children) {
  for (const [k, v] of Object.entries(attrs || {})) {
    if (v == null || v === false) continue;
    if (k === "cls") e.setAttribute("class", v);
    else if (typeof v === "function") e.addEventListener(k.slice(2), v);
    else e.setAttribute(k, v === true ? "" : v);
  }
  for (const c of children.flat(Infinity)) if (c != null && c !== false) e.append(c);
  return e;
}

// text, attr and shown change only what is different, so that nothing flickers and screen readers stay calm.
function text(e, s) {
  s = String(s);
  if (e.textContent !== s) e.textContent = s;
}

function attr(e, name, v) {
  if (v == null || v === false) { if (e.hasAttribute(name)) e.removeAttribute(name); }
  else if (e.getAttribute(name) !== String(v)) e.setAttribute(name, v);
}

function shown(e, yes) {
  if (e.hidden === yes) e.hidden = !yes;
}

// keyed keeps one child of parent for each item, in the order of the items: make(item) builds it, and has the methods
// that its update needs in .ui.
function keyed(parent, items, keyOf, make, update) {
  const have = parent.__keyed || (parent.__keyed = new Map());
  const want = new Set();
  let at = parent.firstElementChild;
  for (const item of items) {
    const k = keyOf(item);
    want.add(k);
    let node = have.get(k);
    if (!node) { node = make(item); have.set(k, node); }
    if (node !== at) parent.insertBefore(node, at);
    else at = at.nextElementSibling;
    update(node, item);
  }
  for (const [k, node] of have) if (!want.has(k)) { node.remove(); have.delete(k); }
}

// command shows a command line with a button that copies it.
function command(line) {
  const code = el("code", { tabindex: "0" }, line);
  const button = el("button", { type: "button", cls: "copy", "aria-label": "Copy the command " + line, onclick: () => {
    const done = () => { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy"; }, 1500); };
    if (navigator.clipboard) navigator.clipboard.writeText(line).then(done, () => selectAll(code));
    else selectAll(code);
  } }, "copy");
  return el("span", { cls: "command" }, code, button);
}

function selectAll(e) {
  const range = document.createRange();
  range.selectNodeContents(e);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}

// marks are the signs beside colours: a check, a wave, a triangle, a cross.
const markPaths = {
  ok: "M4.5 8.5l2.5 2.5 4.5-5.5",
  note: "M8 7.2v4M8 4.7v.4",
  warn: "M8 4.5v4.2M8 11v.4",
  bad: "M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6",
  away: "M5 8h.2M8 8h.2M11 8h.2",
};

function mark(level) {
  const s = svg("svg", { viewBox: "0 0 16 16", cls: "mark", "aria-hidden": "true" });
  setMark(s, level);
  return s;
}

function setMark(s, level) {
  if (s.getAttribute("data-level") === level) return;
  s.setAttribute("data-level", level);
  s.replaceChildren(level === "warn" ? svg("path", { cls: "shape", d: "M8 .9 15.6 14.6H.4z" }) : level === "bad" ? svg("rect", { cls: "shape", x: 1, y: 1, width: 14, height: 14, rx: 4 }) : svg("circle", { cls: "shape", cx: 8, cy: 8, r: 7.2 }),
    svg("path", { cls: "sign", d: markPaths[level] || markPaths.away, transform: level === "warn" ? "translate(0 1.6)" : null }));
}
