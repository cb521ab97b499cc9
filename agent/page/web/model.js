// What /status and /history say, as numbers: ledgers, rates from counters, sums. No element of the page is touched here.

const sumOf = (m) => Object.values(m || {}).reduce((a, b) => a + b, 0);
const reasons = (m) => Object.entries(m || {}).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);

// ledgerOf checks offered = delivered + dead_lettered + shed + moved + buffered. diff is what is missing on the right.
function ledgerOf(d) {
  const l = { offered: d.offered || 0, delivered: d.delivered || 0, dead: sumOf(d.dead_lettered), shed: sumOf(d.shed), moved: sumOf(d.moved), buffered: d.buffered || 0 };
  l.diff = l.offered - (l.delivered + l.dead + l.shed + l.moved + l.buffered);
  return l;
}

// inputLedgerOf checks received = routed + dropped + discarded + invalid.
function inputLedgerOf(i) {
  const l = { received: i.received || 0, routed: i.routed || 0, dropped: sumOf(i.dropped), discarded: sumOf(i.discarded), invalid: sumOf(i.invalid) };
  l.diff = l.received - (l.routed + l.dropped + l.discarded + l.invalid);
  return l;
}

function key(...parts) { return parts.join("\u0000"); }

// countersOf lists every counter that a rate is asked of.
function countersOf(s) {
  const m = new Map();
  for (const i of s.inputs || []) {
    m.set(key("i", i.name, "received"), i.received || 0);
    m.set(key("i", i.name, "bytes"), i.received_bytes || 0);
    for (const f of ["dropped", "discarded", "invalid"]) m.set(key("i", i.name, f), sumOf(i[f]));
    for (const [r, n] of Object.entries(i.routes || {})) m.set(key("i", i.name, "route", r), n);
  }
  for (const r of s.routes || []) {
    m.set(key("r", r.name, "events"), r.events || 0);
    m.set(key("r", r.name, "bytes"), r.bytes || 0);
  }
  for (const d of s.destinations || []) {
    const l = ledgerOf(d);
    for (const f of ["offered", "delivered", "dead", "shed", "moved"]) m.set(key("d", d.name, f), l[f]);
    m.set(key("d", d.name, "sent"), d.sent_bytes || 0);
    for (const [to, n] of Object.entries(d.moved || {})) m.set(key("d", d.name, "moved", to), n);
  }
  return m;
}

// Rates keeps the snapshots of the last seconds. A counter that went back, or a router that was started anew, begins a
// new row of snapshots, so that no rate is ever negative or comes from two different runs.
class Rates {
  constructor(windowMs = 4000) {
    this.window = windowMs;
    this.samples = [];
  }
  add(s, fallbackNow) {
    const t = Date.parse(s.now) || fallbackNow;
    const last = this.samples[this.samples.length - 1];
    if (last && (last.started !== s.started || t < last.t)) this.samples = [];
    else if (last && t === last.t) return;
    this.samples.push({ t, started: s.started, counters: countersOf(s) });
    while (this.samples.length > 2 && t - this.samples[1].t >= this.window) this.samples.shift();
    // After a pause, such as in a hidden tab, an average over it would be no present rate.
    while (this.samples.length > 2 && t - this.samples[0].t > 3 * this.window) this.samples.shift();
  }
  // of returns the rate of a counter per second, or null when it isn't known (yet).
  of(...parts) {
    const k = key(...parts);
    const n = this.samples.length;
    if (n < 2) return null;
    let from = n - 1;
    const end = this.samples[n - 1].counters.get(k);
    if (end === undefined) return null;
    while (from > 0) {
      const before = this.samples[from - 1].counters.get(k);
      if (before === undefined || before > this.samples[from].counters.get(k)) break;
      from--;
    }
    const first = this.samples[from];
    const dt = (this.samples[n - 1].t - first.t) / 1000;
    return dt > 0 ? (end - first.counters.get(k)) / dt : null;
  }
}

const addRates = (list) => list.reduce((a, b) => (b == null ? a : (a || 0) + b), null);

// totalsOf sums up what the whole router does.
function totalsOf(s, rates) {
  const t = { inRate: null, outRate: null, waiting: 0, waitingBytes: 0, dead: 0, shed: 0 };
  t.inRate = addRates((s.inputs || []).map((i) => rates.of("i", i.name, "received")));
  t.inBytes = addRates((s.inputs || []).map((i) => rates.of("i", i.name, "bytes")));
  t.outRate = addRates((s.destinations || []).map((d) => rates.of("d", d.name, "delivered")));
  t.outBytes = addRates((s.destinations || []).map((d) => rates.of("d", d.name, "sent")));
  for (const d of s.destinations || []) {
    t.waiting += d.buffered || 0;
    t.waitingBytes += d.buffered_bytes || 0;
    t.dead += d.dead_letters_kept || 0;
    t.shed += sumOf(d.shed);
  }
  return t;
}

// linksOf lists the flows of the picture: from inputs to types, and from types to destinations. A rate is null when it
// isn't known.
function linksOf(s, rates) {
  const inputs = s.inputs || [], routes = s.routes || [], known = new Set((s.destinations || []).map((d) => d.name));
  const links = [];
  for (const i of inputs) {
    for (const r of routes) {
      let rate = rates.of("i", i.name, "route", r.name);
      if (rate == null && i.routes && Object.keys(i.routes).length) rate = Object.hasOwn(i.routes, r.name) ? null : 0;
      else if (rate == null && inputs.length === 1) rate = rates.of("r", r.name, "events");
      const ever = i.routes ? (i.routes[r.name] || 0) > 0 : inputs.length === 1;
      if (ever || inputs.length === 1) links.push({ kind: "in", from: i.name, to: r.name, rate });
    }
  }
  for (const r of routes) {
    if (r.discard) continue;
    for (const to of r.to || []) if (known.has(to)) links.push({ kind: "out", from: r.name, to, rate: rates.of("r", r.name, "events") });
  }
  for (const d of s.destinations || []) {
    const to = d.fallback;
    if (to && known.has(to)) links.push({ kind: "move", from: d.name, to, rate: rates.of("d", d.name, "moved", to), why: d.moving || "" });
  }
  return links;
}

// lastPoint returns the time in ms of the newest point of a history's series that fits, or null.
function lastPoint(history, values, fits) {
  if (!history || !values) return null;
  for (let i = values.length - 1; i >= 0; i--) {
    if (values[i] != null && fits(values[i])) return Date.parse(history.end) - (values.length - 1 - i) * history.step_seconds * 1000;
  }
  return null;
}

// averageOf is the mean of the known points of a series, or null.
function averageOf(values) {
  const known = (values || []).filter((v) => v != null);
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
}
