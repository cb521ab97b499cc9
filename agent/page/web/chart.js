// Charts of the last hour: areas or lines, with a readout under the pointer, a finger, or the arrow keys.

const spans = [30, 60, 120, 180, 360]; // points that a chart may show: young routers have little to show

const ago = (minutes) => (minutes >= 60 ? minutes / 60 + " h" : minutes + " min") + " ago";

class Chart {
  // opts: title, format(v), stacked, height, small (no axis), floor (the least top)
  constructor(opts) {
    this.o = opts;
    this.at = null;
    this.svg = svg("svg", { viewBox: "0 0 360 100", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.svg.style.height = (opts.height || 120) + "px";
    this.paths = svg("g"); this.cursor = svg("path", { cls: "cursor" });
    this.svg.append(svg("path", { cls: "gridline", d: "M0 50H360M0 1H360" }), this.paths, this.cursor, svg("path", { cls: "axis", d: "M0 99.5H360" }));
    this.top = el("span", { cls: "top" }); this.read = el("div", { cls: "readout", hidden: true });
    this.times = el("div", { cls: "times", "aria-hidden": "true" }, el("span"), el("span"), el("span", {}, "now"));
    this.box = el("div", { cls: "plot", tabindex: "0", role: "slider", "aria-label": opts.title + ", last hour", "aria-valuemin": "0", "aria-valuemax": "359", "aria-valuenow": "359", "aria-valuetext": "now",
      onpointermove: (e) => this.point(e), onpointerdown: (e) => this.point(e), onpointerleave: () => this.show(null), onblur: () => this.show(null), onkeydown: (e) => this.keys(e) }, this.svg, this.top, this.read);
    this.legend = el("div", { cls: "legend" });
    this.root = el("figure", { cls: "chart" + (opts.small ? " small" : "") }, el("figcaption", {}, el("span", {}, opts.title), this.legend), this.box, opts.small ? null : this.times);
  }

  // set draws series of {name, color, values}; all have the same length, the newest point last.
  set(series, end, step) {
    this.series = series; this.end = end; this.step = step;
    this.n = Math.max(0, ...series.map((s) => s.values.length));
    this.span = spans.find((n) => n >= this.n) || spans[spans.length - 1];
    const minutes = (this.span * step) / 60;
    if (!this.o.small) { text(this.times.children[0], ago(minutes)); text(this.times.children[1], ago(minutes / 2)); }
    const tops = [], layers = [];
    for (const s of series) {
      const vals = s.values, base = this.o.stacked ? tops.slice() : [];
      for (let i = 0; i < vals.length; i++) if (vals[i] != null) tops[i] = this.o.stacked ? (tops[i] || 0) + vals[i] : Math.max(tops[i] || 0, vals[i]);
      layers.push({ s, base, tip: vals.map((v, i) => (v == null ? null : this.o.stacked ? tops[i] : v)) });
    }
    this.max = niceMax(Math.max(this.o.floor || 0, ...tops.filter((v) => v != null)));
    text(this.top, this.max > 0 ? this.o.format(this.max) : "");
    keyed(this.paths, layers.reverse(), (k) => k.s.name, () => svg("g", {}, svg("path", { cls: "area" }), svg("path", { cls: "edge" })), (g, k) => {
      g.style.setProperty("--hue", k.s.color);
      attr(g, "class", k.s.line ? "line" : null);
      const [area, edge] = this.shape(k);
      attr(g.children[0], "d", area); attr(g.children[1], "d", edge);
    });
    if (!this.o.small || series.length > 1) keyed(this.legend, series, (s) => s.name, (s) => el("span", { cls: "key" }, el("i"), el("span", {}, s.name)), (e, s) => { e.style.setProperty("--hue", s.color); attr(e, "data-line", s.line ? "1" : null); });
    this.show(this.at);
  }

  x(i) { return 360 - (this.n - 1 - i) * (360 / (this.span - 1)); }
  y(v) { return this.max > 0 ? 99 - (v / this.max) * 97 : 99; }

  shape(k) {
    let area = "", edge = "", run = [];
    const close = () => {
      if (!run.length) return;
      const pts = run.map((i) => `${this.x(i).toFixed(1)} ${this.y(k.tip[i]).toFixed(2)}`);
      if (run.length === 1) pts.push(`${(this.x(run[0]) + 1).toFixed(1)} ${this.y(k.tip[run[0]]).toFixed(2)}`);
      const back = run.slice().reverse().map((i) => `${this.x(i).toFixed(1)} ${this.y(k.base[i] || 0).toFixed(2)}`);
      edge += "M" + pts.join("L");
      area += "M" + pts.concat(back).join("L") + "Z";
      run = [];
    };
    for (let i = 0; i < this.n; i++) (k.tip[i] == null ? close() : run.push(i));
    close();
    return [area, edge];
  }

  point(e) {
    if (!this.n) return;
    const r = this.box.getBoundingClientRect();
    const i = this.n - 1 - Math.round((1 - (e.clientX - r.left) / r.width) * (this.span - 1));
    this.show(i < 0 ? null : Math.min(i, this.n - 1));
  }

  keys(e) {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -400, End: 400 }[e.key];
    if (e.key === "Escape") return this.show(null);
    if (!by || !this.n) return;
    e.preventDefault();
    this.show(clamp((this.at == null ? this.n - 1 : this.at) + by, 0, this.n - 1));
  }

  show(i) {
    if (i != null) i = this.n ? clamp(i, 0, this.n - 1) : null;
    this.at = i;
    shown(this.read, i != null);
    attr(this.cursor, "d", i == null ? "" : `M${this.x(i).toFixed(1)} 0V100`);
    if (i == null || !this.series) return;
    const when = fmtClock(this.end - (this.n - 1 - i) * this.step * 1000);
    const rows = this.series.map((s) => [s, s.values[i] == null ? "no data" : this.o.format(s.values[i])]);
    this.read.replaceChildren(el("b", {}, when), ...rows.map(([s, v]) => { const r = el("span", { cls: "row" }, el("i"), el("span", {}, s.name), el("em", {}, v)); r.style.setProperty("--hue", s.color); return r; }));
    const left = (this.x(i) / 360) * 100;
    this.read.style.left = left > 60 ? "auto" : left + "%";
    this.read.style.right = left > 60 ? 100 - left + "%" : "auto";
    attr(this.box, "aria-valuenow", i);
    attr(this.box, "aria-valuetext", when + ": " + rows.map(([s, v]) => s.name + " " + v).join(", "));
  }
}

// niceMax is the next of 1, 2, 2.5, 5, 10, …
function niceMax(v) {
  if (!(v > 0)) return 0;
  const e = 10 ** Math.floor(Math.log10(v));
  for (const m of [1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10]) if (v <= m * e * 1.0001) return m * e;
  return v;
}

// Hour is the panel of big charts.
class Hour {
  constructor(root) {
    this.rates = new Chart({ title: "Events per second, by type", format: (v) => fmtRate(v) + "/s", stacked: true, height: 150 });
    this.out = new Chart({ title: "Delivered per second, by destination", format: (v) => fmtRate(v) + "/s", stacked: true, height: 110 });
    this.wait = new Chart({ title: "Waiting in buffers, by destination", format: fmtBytes, stacked: true, height: 110, floor: 1 << 20 });
    this.none = el("p", { cls: "note" }, "The history begins with the first minute.");
    root.append(this.none, this.rates.root, el("div", { cls: "two" }, this.out.root, this.wait.root));
  }
  draw(s, history) {
    const have = history && Object.keys(history.destinations || {}).length > 0;
    shown(this.none, !have); shown(this.rates.root, !!have); shown(this.out.root.parentNode, !!have);
    if (!have) return;
    const end = Date.parse(history.end), step = history.step_seconds;
    const own = (o, k) => (o && Object.hasOwn(o, k) ? o[k] : null);
    const routes = (s.routes || []).map((r) => ({ name: r.name, color: hueOf(s, r.name), values: (own(history.routes, r.name) || {}).events || [] }));
    this.rates.set(routes.filter((r) => r.values.length), end, step);
    const per = (field) => (s.destinations || []).map((d, i) => ({ name: d.name, color: destHue(s, d), values: (own(history.destinations, d.name) || {})[field] || [] })).filter((d) => d.values.length);
    this.out.set(per("delivered"), end, step);
    this.wait.set(per("buffered_bytes"), end, step);
  }
}

// destHue gives a destination the colour of the type that goes there, unless another one before it has that already:
// then the next colour that no type has.
function destHue(s, d) {
  const taken = new Set(), routes = s.routes || [];
  let spare = routes.length;
  for (const x of s.destinations || []) {
    const goes = (r) => !r.discard && (r.to || []).includes(x.name);
    const r = routes.find((y) => goes(y) && y.to.length === 1) || routes.find(goes);
    let hue = r && hueOf(s, r.name);
    if (!hue || taken.has(hue)) hue = "var(--t" + (spare++ % hues) + ")";
    taken.add(hue);
    if (x === d || x.name === d.name) return hue;
  }
  return "var(--flow)";
}
