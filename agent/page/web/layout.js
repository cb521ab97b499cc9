// Where the nodes and ribbons of the picture go. Numbers in, numbers out.

// layoutOf places inputs, types, buffers and destinations in four columns of a picture of the given width. Each node gets
// {x, y, w, h}; each link {y0, y1, t}: where it leaves, where it arrives, how thick it is.
function layoutOf(s, links, width, rateOf) {
  const narrow = width < 560;
  const col = narrow
    ? { in: width * 0.215, type: width * 0.235, tank: 29, dest: width * 0.245 }
    : { in: clamp(width * 0.15, 120, 190), type: clamp(width * 0.16, 120, 200), tank: 66, dest: clamp(width * 0.2, 150, 250) };
  const room = width - col.in - col.type - col.tank - col.dest;
  const gap = narrow ? { a: room * 0.38, b: room * 0.38, c: room * 0.24 } : { a: room * 0.35, b: room * 0.38, c: room * 0.27 };
  const x = { in: 0, type: col.in + gap.a, tank: col.in + gap.a + col.type + gap.b };
  x.dest = x.tank + col.tank + gap.c;

  const dests = inOrderOfTypes(s);
  const flows = links.filter((l) => l.kind !== "move");
  const column = (kind, names) => names.map((name) => ({ kind, name, rate: rateOf(kind, name) || 0 }));
  const inputs = column("in", (s.inputs || []).map((i) => i.name));
  const types = column("type", (s.routes || []).map((r) => r.name));
  const tanks = column("dest", dests.map((d) => d.name));

  const most = Math.max(1e-9, ...[inputs, types, tanks].map((c) => c.reduce((a, n) => a + n.rate, 0)));
  const rows = Math.max(inputs.length, types.length, tanks.length);
  const thick = clamp(rows * (narrow ? 20 : 30), narrow ? 44 : 64, 190); // of everything together
  const scale = thick / most;
  const thickness = (rate) => (rate > 0 ? Math.max(1.5, rate * scale) : 1);

  const compact = !narrow && rows > 8;
  const min = narrow ? 50 : compact ? 46 : 62, space = narrow || compact ? 11 : 18;
  const widest = narrow ? 50 : 80; // of what leaves a buffer: a destination that catches up may get many times what comes in
  const heightOf = (n) => {
    const side = (key) => flows.filter((l) => l[key] === n.name && (l.kind === "in") === (n.kind === "in" || (n.kind === "type" && key === "to"))).reduce((a, l) => a + thickness(l.rate), 0);
    return Math.max(min, (n.kind === "in" ? side("from") : n.kind === "dest" ? Math.max(side("to"), Math.min(widest, thickness(rateOf("out", n.name)))) : Math.max(side("from"), side("to"))) + 16);
  };
  const columns = [inputs, types, tanks];
  for (const c of columns) for (const n of c) n.h = heightOf(n);
  const total = (c) => c.reduce((a, n) => a + n.h, 0) + Math.max(0, c.length - 1) * space;
  const height = Math.max(min, ...columns.map(total));
  for (const c of columns) {
    // A column with room to spare spreads over two thirds of it.
    const spare = height - total(c), extra = c.length > 1 ? Math.min(spare / (c.length - 1), space * 2.2) : 0;
    let y = (spare - extra * Math.max(0, c.length - 1)) / 2;
    for (const n of c) { n.y = y; y += n.h + space + extra; }
  }
  const at = new Map();
  for (const n of inputs) at.set(key("in", n.name), Object.assign(n, { x: x.in, w: col.in }));
  for (const n of types) at.set(key("type", n.name), Object.assign(n, { x: x.type, w: col.type }));
  for (const n of tanks) {
    at.set(key("tank", n.name), { kind: "tank", name: n.name, x: x.tank, y: n.y, w: col.tank, h: n.h });
    at.set(key("dest", n.name), Object.assign(n, { x: x.dest, w: col.dest }));
  }
  return { width, height, narrow, compact, at, links: placeLinks(links, at, thickness), thickness };
}

function clamp(v, lo, hi) { return Math.min(hi, Math.max(lo, v)); }

// inOrderOfTypes sorts the destinations by the types that go to them, so that few ribbons cross.
function inOrderOfTypes(s) {
  const routes = s.routes || [];
  const place = (d) => {
    const hits = routes.map((r, i) => [r, i]).filter(([r]) => !r.discard && (r.to || []).includes(d.name)).map(([, i]) => i);
    return hits.length ? hits.reduce((a, b) => a + b, 0) / hits.length : routes.length;
  };
  return (s.destinations || []).map((d, i) => ({ d, i, p: place(d) })).sort((a, b) => a.p - b.p || a.i - b.i).map((e) => e.d);
}

// placeLinks stacks the links of each side of a node in the order of where they go, around the node's middle.
function placeLinks(links, at, thickness) {
  const ends = new Map();
  const out = [];
  for (const l of links) {
    const from = at.get(key(l.kind === "in" ? "in" : l.kind === "out" ? "type" : "tank", l.from));
    const to = at.get(key(l.kind === "in" ? "type" : "tank", l.to));
    if (!from || !to) continue;
    const p = Object.assign({}, l, { a: from, b: to, t: thickness(l.rate) });
    out.push(p);
    if (l.kind === "move") continue;
    for (const [side, node, other] of [["r", from, to], ["l", to, from]]) {
      const k = key(side, node.kind, node.name);
      if (!ends.has(k)) ends.set(k, { node, list: [] });
      ends.get(k).list.push({ p, side, other });
    }
  }
  for (const { node, list } of ends.values()) {
    list.sort((m, n) => m.other.y - n.other.y);
    let y = node.y + node.h / 2 - list.reduce((a, e) => a + e.p.t, 0) / 2;
    for (const e of list) { e.p[e.side === "r" ? "y0" : "y1"] = y; y += e.p.t; }
  }
  return out;
}

// ribbon is the outline of a link between two columns, and line its middle.
function ribbon(x0, y0, x1, y1, t) {
  const m = (x0 + x1) / 2, f = (v) => v.toFixed(1);
  return `M${f(x0)} ${f(y0)}C${f(m)} ${f(y0)} ${f(m)} ${f(y1)} ${f(x1)} ${f(y1)}L${f(x1)} ${f(y1 + t)}C${f(m)} ${f(y1 + t)} ${f(m)} ${f(y0 + t)} ${f(x0)} ${f(y0 + t)}Z`;
}

function middle(x0, y0, x1, y1) {
  const m = (x0 + x1) / 2, f = (v) => v.toFixed(1);
  return `M${f(x0)} ${f(y0)}C${f(m)} ${f(y0)} ${f(m)} ${f(y1)} ${f(x1)} ${f(y1)}`;
}
