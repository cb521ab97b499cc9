// Asks the router every second while somebody looks, and draws what it says.

const app = {
  rates: new Rates(), status: null, history: null, historyAt: 0, seen: new Map(), delivered: new Map(),
  failingSince: null, asked: 0, theme: "auto",
};
const parts = {};

function context() {
  const s = app.status;
  // The router's clock, moved on by what has passed here since it answered.
  return { rates: app.rates, history: app.history, seen: app.seen, now: (Date.parse(s.now) || Date.now()) + (app.failingSince ? Date.now() - app.asked : 0) };
}

// note remembers when each destination delivered last, as far as this page has seen it.
function note(s) {
  const t = Date.parse(s.now) || Date.now();
  for (const d of s.destinations || []) {
    const before = app.delivered.get(d.name);
    if (before !== undefined && d.delivered > before) app.seen.set(d.name, t);
    app.delivered.set(d.name, d.delivered);
  }
}

async function get(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(8000) });
  if (!answer.ok) throw new Error(path + " answered " + answer.status);
  return answer.json();
}

async function ask() {
  try {
    const s = await get("status");
    app.rates.add(s, Date.now());
    note(s);
    app.status = s; app.asked = Date.now(); app.failingSince = null;
    if (Date.now() - app.historyAt > 9500) {
      app.historyAt = Date.now();
      try { app.history = await get("history"); } catch { app.history = null; }
    }
  } catch {
    if (!app.failingSince) app.failingSince = Date.now();
  }
  draw();
}

async function loop() {
  for (;;) {
    if (document.hidden) await new Promise((wake) => document.addEventListener("visibilitychange", wake, { once: true }));
    const began = Date.now();
    await ask();
    // The second answer comes soon, because only two make a rate.
    const pause = app.failingSince ? 2000 : app.rates.samples.length < 2 ? 400 : Math.max(100, 1000 - (Date.now() - began));
    await new Promise((wake) => setTimeout(wake, pause));
  }
}

function draw() {
  live();
  const s = app.status;
  if (!s) {
    if (app.failingSince) headline({ level: "away", text: "The router has not answered since " + fmtClock(app.failingSince) + ".", list: [] });
    return;
  }
  const ctx = context();
  const h = headlineOf(s, ctx);
  headline(app.failingSince ? { level: "away", text: "The router has not answered since " + fmtClock(app.asked) + ". Below is what it said last.", list: [] } : h);
  document.body.toggleAttribute("data-away", !!app.failingSince);
  text(byId("where"), [s.host, s.version, s.phase === "running" ? "up " + fmtSpan(ctx.now - Date.parse(s.started)) : s.phase].filter(Boolean).join(" · "));
  document.title = (app.failingSince ? "? " : h.level === "ok" || h.level === "note" ? "" : h.level === "bad" ? "✕ " : "! ") + "Firebreak" + (s.host ? " · " + cut(s.host, 60) : "");
  kpis(s, ctx);
  if (!byId("picture").hidden) {
    parts.flow.draw(s, ctx);
    const worst = (d) => -levels[stateOf(d, ctx.rates, ctx.now).level];
    const sorted = (s.destinations || []).map((d, i) => [d, i]).sort((a, b) => worst(a[0]) - worst(b[0]) || a[1] - b[1]).map(([d]) => d);
    keyed(byId("destinations"), sorted, (d) => d.name, destCard, (e, d) => updateDest(e, d, s, ctx));
    keyed(byId("inputs"), s.inputs || [], (i) => i.name, inputCard, (e, i) => updateInput(e, i, s, ctx));
    if (parts.drawn !== app.history) { parts.drawn = app.history; parts.hour.draw(s, app.history); }
  }
  parts.tables.draw(s, ctx);
  parts.costs.draw(s, ctx);
  footer(s);
}

function live() {
  const e = byId("live");
  attr(e, "data-level", app.failingSince ? "bad" : app.status ? "ok" : "away");
  text(byId("live-text"), app.failingSince ? "router not reachable since " + fmtClock(app.status ? app.asked : app.failingSince) : app.status ? "live" : "connecting…");
}

function headline(h) {
  const box = byId("headline");
  if (box.dataset.level !== h.level || !byId("headline-mark").firstChild) byId("headline-mark").replaceChildren(mark(h.level));
  attr(box, "data-level", h.level);
  const said = byId("sentence");
  if (said.textContent !== h.text) {
    const named = h.subject && h.text.startsWith(h.subject) ? h.subject : "", rest = h.text.slice(named.length), end = rest.search(/\. [A-Z0-9]/) + 1;
    said.replaceChildren(...[named && el("b", { cls: "subject" }, named), end ? rest.slice(0, end) : rest, end ? el("span", { cls: "then" }, rest.slice(end)) : null].filter(Boolean));
  }
  const list = (h.hint ? [{ level: "hint", text: h.hint }] : []).concat(h.list || []);
  keyed(byId("details"), list.slice(0, 40).map((n, i) => Object.assign({ id: i + n.level + (n.command || "") }, n)), (n) => n.id,
    (n) => el("div", { cls: "detail", "data-level": n.level }, n.level === "hint" ? el("span", { cls: "arrow", "aria-hidden": "true" }, "→") : mark(n.level), el("div", {}, el("p"), el("p", { cls: "hint" }), n.command ? command(n.command) : null)),
    (e, n) => { const b = e.lastChild; text(b.children[0], n.text); shown(b.children[1], !!n.hint); text(b.children[1], n.hint ? "→ " + n.hint : ""); });
  // Said aloud only when it becomes another matter, not with every number.
  const matter = h.level + "|" + h.text.replace(/[\d.,]+/g, "#");
  if (parts.matter !== matter) { parts.matter = matter; text(byId("announce"), h.text); }
}

function kpis(s, ctx) {
  const t = totalsOf(s, ctx.rates);
  const list = [
    ["In", fmtRate(t.inRate), "events/s", t.inBytes > 0 ? fmtBytes(t.inBytes) + "/s" : ""],
    ["Delivered", fmtRate(t.outRate), "events/s", t.outBytes > 0 ? fmtBytes(t.outBytes) + "/s" : ""],
    ["Waiting", fmtCount(t.waiting), t.waiting === 1 ? "event" : "events", fmtBytes(t.waitingBytes) + " in buffers"],
    ["Given up", fmtCount(t.dead + t.shed), t.dead + t.shed === 1 ? "event" : "events", fmtCount(t.shed) + " shed · " + fmtCount(t.dead) + " dead letters kept"],
  ];
  keyed(byId("kpis"), list, (k) => k[0], (k) => el("div", { cls: "kpi" }, el("span", { cls: "what" }, k[0]), el("p", {}, el("b"), " ", el("small")), el("span", { cls: "under" })), (e, k) => {
    const p = e.children[1]; text(p.children[0], k[1]); text(p.children[1], k[2]); text(e.children[2], k[3]);
    attr(e, "data-alarm", k[0] === "Given up" && t.shed > 0 ? "1" : null);
  });
}

function footer(s) {
  const r = s.reload;
  const list = ["Configuration: " + s.config, "Started " + (s.started ? new Date(s.started).toLocaleString("en-GB") : "–"),
    r ? "Last reload " + fmtClock(Date.parse(r.at)) + ": " + (r.ok ? ((r.changes || []).slice(0, 5).map((c) => cut(c, 80)).join("; ") || "no change") : "failed") + " (" + fmtExact(r.count) + " so far, " + fmtExact(r.failed) + " failed)" : "Not reloaded since"];
  if (!parts.foot) byId("foot").append(parts.foot = el("div"), el("nav", { "aria-label": "The same as data" }, el("a", { href: "status" }, "/status"), el("a", { href: "history" }, "/history"), el("a", { href: "metrics" }, "/metrics"), el("a", { href: "health/ready" }, "/health/ready")));
  keyed(parts.foot, list, (x) => list.indexOf(x), () => el("span"), (e, x) => text(e, x));
}

// Theme: automatic, light, dark. View: picture, tables.
function setTheme(t) {
  app.theme = t;
  attr(document.documentElement, "data-theme", t === "auto" ? null : t);
  const signs = { auto: "◐", light: "☀", dark: "☾" };
  text(byId("theme"), signs[t]);
  attr(byId("theme"), "aria-label", "Theme: " + t); attr(byId("theme"), "title", "Theme: " + t);
  try { localStorage.setItem("firebreak.theme", t); } catch { /* a browser that keeps nothing */ }
}

function setView(v) {
  shown(byId("picture"), v !== "table"); shown(byId("tables"), v === "table");
  attr(byId("view-flow"), "aria-pressed", v !== "table"); attr(byId("view-table"), "aria-pressed", v === "table");
  try { localStorage.setItem("firebreak.view", v); } catch { /* a browser that keeps nothing */ }
  draw();
}

function kept(k, allowed) {
  try { const v = localStorage.getItem(k); return allowed.includes(v) ? v : allowed[0]; } catch { return allowed[0]; }
}

function start() {
  parts.flow = new Flow(byId("flow"));
  parts.hour = new Hour(byId("hour"));
  parts.tables = new Tables(byId("tables"));
  parts.costs = new Costs(byId("cost"));
  setTheme(kept("firebreak.theme", ["auto", "light", "dark"]));
  byId("theme").addEventListener("click", () => setTheme({ auto: "light", light: "dark", dark: "auto" }[app.theme]));
  byId("view-flow").addEventListener("click", () => setView("flow"));
  byId("view-table").addEventListener("click", () => setView("table"));
  setView(kept("firebreak.view", ["flow", "table"]));
  loop();
}

start();
