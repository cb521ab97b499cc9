// What a type costs per month. docs/STATUS-PAGE.md has the same formulas in words.

const gigabyte = 2 ** 30, hoursPerMonth = 730, monthSeconds = hoursPerMonth * 3600;
const cloudWatchOverhead = 26; // bytes that CloudWatch Logs adds to each event

const costDefaults = {
  hosts: 1,            // hosts like this one
  retention_days: 30,  // how long the destination keeps it
  compressed: 15,      // percent of its size that a log has after compression
  object_mib: 64,      // S3: an object ends at this size …
  object_minutes: 5,   // … or this age
  part_mib: 16,        // S3: objects above this size are uploaded in parts
  join_kib: 0,         // Firehose and Kinesis: events joined into records of up to this size; 0: one record for each
  consumers: 1,        // Kinesis on demand: applications that read
};

const costTargets = [
  { id: "cw", name: "CloudWatch Logs", short: "CloudWatch" },
  { id: "cw_ia", name: "CloudWatch Logs, infrequent access", short: "CloudWatch IA" },
  { id: "firehose", name: "Firehose", short: "Firehose" },
  { id: "kinesis", name: "Kinesis, on demand", short: "Kinesis on demand" },
  { id: "shards", name: "Kinesis, provisioned", short: "Kinesis provisioned" },
  { id: "s3", name: "S3", short: "S3" },
];

// recordsOf joins n events of a size into records of up to join bytes.
function recordsOf(n, size, join) {
  const each = Math.max(1, Math.floor(join / size));
  return { records: n / each, size: size * each };
}

const roundUp = (x, unit) => Math.ceil(x / unit) * unit;

// costOf returns dollars per month for {events, bytes} per second of one host, with options o and the prices p of a region.
function costOf(flow, o, p) {
  const events = (flow.events || 0) * monthSeconds * o.hosts, bytes = (flow.bytes || 0) * monthSeconds * o.hosts;
  const zero = { cw: 0, cw_ia: 0, firehose: 0, kinesis: 0, shards: 0, s3: 0 };
  if (!(events > 0) || !(bytes > 0)) return zero;
  const size = bytes / events, ratio = o.compressed / 100, kept = o.retention_days / (hoursPerMonth / 24);

  const watched = (bytes + cloudWatchOverhead * events) / gigabyte;
  const watchedStorage = watched * ratio * kept * p.cw_storage;

  const rec = recordsOf(events, size, o.join_kib * 1024);
  const fire = rec.records * roundUp(rec.size, 5 * 1024) / gigabyte;
  const streamIn = rec.records * roundUp(rec.size, 1024) / gigabyte;

  const perSecond = { bytes: bytes / monthSeconds, records: rec.records / monthSeconds };
  const shards = Math.max(1, Math.ceil(Math.max(perSecond.bytes / 1e6, perSecond.records / 1000)));
  const units = rec.records * Math.ceil(rec.size / (25 * 1024));

  const small = s3Requests(flow, o);
  return {
    cw: watched * p.cw_ingest + watchedStorage,
    cw_ia: watched * p.cw_ia_ingest + watchedStorage,
    firehose: fire * p.firehose,
    kinesis: streamIn * p.kinesis_in + streamIn * o.consumers * p.kinesis_out + hoursPerMonth * p.kinesis_stream_hour,
    shards: shards * hoursPerMonth * p.shard_hour + units / 1e6 * p.put_million,
    s3: small * o.hosts / 1000 * p.s3_put_1000 + bytes * ratio / gigabyte * kept * p.s3_storage,
  };
}

// s3Requests is how many requests the objects of one host take in a month: an object ends at its size or at its age,
// whichever comes first, and holds at least one event.
function s3Requests(flow, o) {
  const compressed = flow.bytes * o.compressed / 100; // bytes per second
  const life = Math.min(o.object_minutes * 60, o.object_mib * 2 ** 20 / compressed);
  const objects = Math.min(monthSeconds / life, flow.events * monthSeconds);
  const object = compressed * monthSeconds / objects, part = o.part_mib * 2 ** 20;
  return objects * (object <= part ? 1 : Math.ceil(object / part) + 2);
}

// targetOf says which price a destination's type has; null: it isn't AWS that is paid.
function targetOf(d) {
  const t = String(d.type || "").toLowerCase();
  if (t.includes("cloudwatch")) return d.output && d.output.log_class === "infrequent_access" ? "cw_ia" : "cw";
  if (t.includes("firehose")) return "firehose";
  if (t.includes("kinesis")) return "kinesis";
  return t === "s3" ? "s3" : null;
}

// costNow is what a route costs where it goes now. paid says whether any of its destinations has a price.
function costNow(route, dests, costs) {
  let total = 0, paid = false;
  if (!route.discard) {
    for (const name of route.to || []) {
      const d = dests.find((x) => x.name === name), t = d && targetOf(d);
      if (t) { paid = true; total += costs[t]; }
    }
  }
  return { total, paid };
}

// validPrices returns a price table of a foreign file with nothing in it but numbers of known names, or an error's text.
function validPrices(given, builtin) {
  if (!given || typeof given !== "object" || !given.regions || typeof given.regions !== "object") return { error: "no regions in it" };
  const fields = Object.keys(Object.values(builtin.regions)[0]).filter((f) => f !== "name" && f !== "unsure");
  const out = { as_of: cut(given.as_of, 40), currency: "USD", note: cut(given.note, 500), regions: {} };
  for (const [id, r] of Object.entries(given.regions).slice(0, 60)) {
    if (!/^[a-z0-9-]{1,30}$/.test(id) || !r || typeof r !== "object") return { error: "region " + cut(id, 30) + " is unreadable" };
    const clean = { name: cut(r.name, 40), unsure: [] };
    for (const f of fields) {
      const v = r[f];
      if (typeof v !== "number" || !isFinite(v) || v < 0) return { error: cut(id, 30) + ": " + f + " must be a number, at least 0" };
      clean[f] = v;
      if (Array.isArray(r.unsure) && r.unsure.includes(f)) clean.unsure.push(f);
    }
    out.regions[id] = clean;
  }
  return Object.keys(out.regions).length ? { prices: out } : { error: "no regions in it" };
}
