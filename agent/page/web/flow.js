// The picture: inputs, types, buffers, destinations, and what flows between them.

const hues = 8; // colours of types, see style.css

function hueOf(s, name) {
  const i = (s.routes || []).findIndex((r) => r.name === name);
  return "var(--t" + ((i < 0 ? 0 : i) % hues) + ")";
}

// ownHue is the colour of the one type that goes to d, or grey for a mixture.
function ownHue(s, d) {
  const from = (s.routes || []).filter((r) => !r.discard && (r.to || []).includes(d.name));
  return from.length === 1 ? hueOf(s, from[0].name) : "var(--flow)";
}

class Flow {
  constructor(root) {
    this.root = root;
    this.svg = svg("svg", { cls: "ribbons", "aria-hidden": "true" });
    this.defs = svg("defs");
    this.under = svg("g"); this.over = svg("g"); this.signs = svg("g");
    this.svg.append(this.defs, this.under, this.over, this.signs);
    this.nodes = el("div", { cls: "nodes" });
    this.heads = el("div", { cls: "heads", "aria-hidden": "true" }, ["Inputs", "Types", "Buffers", "Destinations"].map((t) => el("span", {}, t)));
    for (const e of this.heads.children) shown(e, false); // until it is known where they stand
    root.append(this.heads, el("div", { cls: "stage" }, this.svg, this.nodes));
    this.stage = root.lastElementChild;
    // Few pictures per second: an animation of the style would draw sixty, and cost much of a core without a graphics card.
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    setInterval(() => { if (!document.hidden && !calm.matches) this.move(0.12); }, 120);
    new ResizeObserver(() => { if (this.last) this.draw(...this.last); }).observe(root);
  }

  draw(s, ctx) {
    this.last = [s, ctx];
    const width = this.root.clientWidth;
    if (!width) return;
    const { rates } = ctx;
    const links = linksOf(s, rates);
    const l = layoutOf(s, links, width, (kind, name) => kind === "in" ? rates.of("i", name, "received") : kind === "type" ? rates.of("r", name, "events") : rates.of("d", name, kind === "out" ? "delivered" : "offered"));
    attr(this.root, "data-narrow", l.narrow ? "1" : null); attr(this.root, "data-compact", l.compact ? "1" : null);
    const h = Math.ceil(l.height) + 4;
    this.stage.style.height = h + "px";
    attr(this.svg, "viewBox", `0 -2 ${width} ${h}`);
    const nodes = [...l.at.values()];
    const heads = ["in", "type", "tank", "dest"].map((k) => nodes.find((n) => n.kind === k));
    [...this.heads.children].forEach((e, i) => { const n = heads[i]; shown(e, !!n); if (n) { e.style.left = (i === 2 ? n.x + n.w / 2 : n.x) + "px"; } });
    keyed(this.nodes, nodes, (n) => key(n.kind, n.name), (n) => this.make(n), (e, n) => { place(e, n); this.fill(e, n, s, ctx, l.narrow); });
    this.ribbons(s, ctx, l);
  }

  // move lets the dots run for some seconds.
  move(seconds) {
    for (const e of this.over.children) {
      if (!e.__speed) continue;
      e.__at = (e.__at || 0) + e.__speed * seconds;
      e.setAttribute("stroke-dashoffset", (-e.__at).toFixed(1));
    }
  }

  make(n) {
    if (n.kind === "tank") {
      const e = el("a", { cls: "node tank", href: "#d-" + encodeURIComponent(n.name) }, el("span", { cls: "level" }), el("span", { cls: "what" }));
      e.ui = { level: e.children[0], what: e.children[1] };
      return e;
    }
    const e = el(n.kind === "dest" ? "a" : "div", { cls: "node " + n.kind, href: n.kind === "dest" ? "#d-" + encodeURIComponent(n.name) : null });
    const ui = e.ui = { name: el("span", { cls: "name" }, n.name), rate: el("span", { cls: "rate" }), sub: el("span", { cls: "sub" }) };
    attr(e, "title", n.name);
    if (n.kind === "dest") { ui.mark = mark("ok"); e.append(ui.mark); }
    e.append(el("span", { cls: "lines" }, ui.name, ui.rate, ui.sub));
    return e;
  }

  fill(e, n, s, ctx, narrow) {
    const { rates, now } = ctx, short = narrow ? fmtShort : fmtRate;
    if (n.kind === "in") {
      const i = s.inputs.find((x) => x.name === n.name);
      text(e.ui.rate, short(rates.of("i", n.name, "received")) + "/s");
      text(e.ui.sub, i.type + (i.connections && !narrow ? " · " + fmtCount(i.connections) + " conn." : ""));
      return;
    }
    if (n.kind === "type") {
      const r = s.routes.find((x) => x.name === n.name);
      e.style.setProperty("--hue", hueOf(s, n.name));
      attr(e, "data-discard", r.discard ? "1" : null);
      text(e.ui.rate, short(rates.of("r", n.name, "events")) + "/s");
      text(e.ui.sub, r.discard ? (narrow ? "discarded" : "discarded, as configured") : (fmtBytes(rates.of("r", n.name, "bytes")) + "/s").replace("–/s", "") + (r.continue ? " · continues" : ""));
      return;
    }
    const d = s.destinations.find((x) => x.name === n.name), st = stateOf(d, rates, now);
    attr(e, "data-level", st.level);
    if (n.kind === "dest") {
      setMark(e.ui.mark, st.level);
      text(e.ui.rate, short(rates.of("d", n.name, "delivered")) + "/s");
      text(e.ui.sub, narrow && d.breaker !== "closed" ? d.breaker : st.word + (d.breaker === "open" && d.next_try ? ", next try " + untilTry(d, now) : ""));
      return;
    }
    const share = d.max_bytes > 0 ? d.buffered_bytes / d.max_bytes : 0;
    e.ui.level.style.height = (d.buffered > 0 ? Math.max(3, Math.min(1, share) * (n.h - 2)) : 0) + "px";
    text(e.ui.what, d.buffered > 0 ? (n.w < 50 ? fmtBytes(d.buffered_bytes).replace(/(\.\d)? /, "\n") : fmtBytes(d.buffered_bytes)) : n.w < 50 ? "" : "empty");
    attr(e, "aria-label", "Buffer of " + n.name + ": " + plural(d.buffered, "event") + ", " + fmtBytes(d.buffered_bytes) + " of " + fmtBytes(d.max_bytes));
    attr(e, "title", fmtExact(d.buffered) + " events, " + fmtBytes(d.buffered_bytes) + " of " + fmtBytes(d.max_bytes));
    attr(e, "data-volatile", d.volatile ? "1" : null);
  }

  ribbons(s, ctx, l) {
    const { rates } = ctx;
    const shapes = [], signs = [];
    for (const k of l.links) {
      const hue = hueOf(s, k.kind === "in" ? k.to : k.from);
      if (k.kind === "move") {
        if (!k.why && !(k.rate > 0)) continue;
        const x = k.a.x + k.a.w, y0 = k.a.y + k.a.h * 0.8, y1 = k.b.y + k.b.h * 0.25, bulge = l.narrow ? 16 : 44;
        const d = `M${x} ${y0.toFixed(1)}C${x + bulge} ${y0.toFixed(1)} ${x + bulge} ${y1.toFixed(1)} ${k.b.x + k.b.w + 5} ${y1.toFixed(1)}`;
        shapes.push({ id: key("m", k.from, k.to), cls: "move", d: null, line: d, rate: k.rate || 1, t: 3, hue: "var(--warn)" });
        if (!l.narrow) signs.push({ id: key("m", k.from, k.to), x: x + bulge * 0.75 + 8, y: (y0 + y1) / 2 + 22, level: null, label: "moves " + (k.rate > 0 ? fmtRate(k.rate) + "/s" : "") });
        continue;
      }
      const x0 = k.a.x + k.a.w, x1 = k.b.x;
      shapes.push({ id: key(k.kind, k.from, k.to), cls: k.rate > 0 ? "on" : "idle", d: ribbon(x0, k.y0, x1, k.y1, k.t), line: middle(x0, k.y0 + k.t / 2, x1, k.y1 + k.t / 2), rate: k.rate, t: k.t, hue });
    }
    for (const d of s.destinations || []) {
      const a = l.at.get(key("tank", d.name)), b = l.at.get(key("dest", d.name));
      const rate = rates.of("d", d.name, "delivered"), t = Math.min(l.thickness(rate), a.h - 16), y = a.y + a.h / 2 - t / 2, st = stateOf(d, rates, ctx.now);
      const broken = d.breaker !== "closed";
      shapes.push({ id: key("o", d.name), cls: (broken ? "broken " : "") + (rate > 0 ? "on" : "idle"), d: ribbon(a.x + a.w, y, b.x, y, t), line: middle(a.x + a.w, y + t / 2, b.x, y + t / 2), rate, t, hue: broken ? `var(--${st.level})` : ownHue(s, d) });
      if (broken) signs.push({ id: key("o", d.name), x: (a.x + a.w + b.x) / 2, y: y + t / 2, level: st.level, label: "" });
    }
    keyed(this.under, shapes, (p) => p.id, () => svg("path", {}), (e, p) => {
      attr(e, "d", p.d || ""); attr(e, "class", p.cls); e.style.setProperty("--hue", p.hue);
    });
    keyed(this.over, shapes, (p) => p.id, () => svg("path", {}), (e, p) => {
      attr(e, "d", p.line); attr(e, "class", "dots " + p.cls); e.style.setProperty("--hue", p.hue);
      e.style.strokeWidth = p.cls === "move" ? "3px" : clamp(p.t * 0.3, 1.4, 4).toFixed(1) + "px";
      e.__speed = p.rate > 0 ? 5 + 4.5 * Math.log10(1 + p.rate) : 0; // pixels per second: more events, faster dots
    });
    keyed(this.signs, signs, (p) => p.id, (p) => p.level ? svg("g", {}, svg("circle", { r: 11, cls: "halo" }), svg("g", { transform: "translate(-8 -8)" }, mark(p.level))) : svg("g", {}, svg("text", { cls: "tag" })), (e, p) => {
      attr(e, "transform", `translate(${p.x.toFixed(1)} ${p.y.toFixed(1)})`);
      if (p.level) { const m = e.querySelector("svg"); attr(m, "width", 16); attr(m, "height", 16); setMark(m, p.level); }
      else text(e.firstChild, p.label);
    });
  }
}

function place(e, n) {
  const st = e.style;
  st.left = n.x + "px"; st.top = n.y + 2 + "px"; st.width = n.w + "px"; st.height = n.h + "px";
}

function untilTry(d, now) {
  const ms = Date.parse(d.next_try) - now;
  return ms > 0 ? "in " + Math.ceil(ms / 1000) + " s" : "now";
}
