// What is wrong, in sentences. A level is ok, note, warn or bad.

const levels = { ok: 0, note: 1, warn: 2, bad: 3 };
const behindAfter = 15000; // ms that the oldest event may wait before somebody should know

// stateOf is the state of a destination in a word, with its level.
function stateOf(d, rates, now) {
  const age = d.oldest ? now - Date.parse(d.oldest) : 0;
  const out = rates.of("d", d.name, "delivered"), shedding = rates.of("d", d.name, "shed") > 0;
  if (d.held) return { level: "bad", word: "on hold" };
  if (d.breaker === "open") return { level: "bad", word: "not delivering" };
  if (d.breaker === "half-open") return { level: "warn", word: "trying again" };
  if (d.error) return out > 0 ? { level: "warn", word: "stumbling" } : { level: "bad", word: "failing" };
  if (shedding) return { level: "bad", word: "shedding" };
  if (d.volatile && d.problem) return { level: "bad", word: "memory only" };
  if (d.full) return { level: "warn", word: "full" };
  if (d.moving) return { level: "warn", word: "moving" };
  if (d.limited) return { level: "note", word: "limited" };
  if (age > behindAfter && d.buffered > 0) return out > 0 ? { level: "warn", word: "catching up" } : { level: "warn", word: "waiting" };
  if (d.problem) return { level: "warn", word: "delivering" };
  return { level: "ok", word: "delivering" };
}

// silentSince says since when (ms) nothing was delivered to d, as far as is known.
function silentSince(d, history, seen) {
  if (seen != null) return seen;
  const h = history && history.destinations && history.destinations[d.name];
  const last = h && lastPoint(history, h.delivered, (v) => v > 0);
  return last || Date.parse(d.breaker_since) || null;
}

function waits(d) {
  return plural(d.buffered, "event") + " (" + fmtBytes(d.buffered_bytes) + ") " + (d.buffered === 1 ? "waits" : "wait") + " in its buffer";
}

// lossOf says what is lost of d, in a clause.
function lossOf(d, rates) {
  const rate = rates.of("d", d.name, "shed"), shed = sumOf(d.shed);
  if (rate > 0) return "its oldest are shed, " + fmtRate(rate) + " each second";
  if (shed > 0) return plural(shed, "event") + (shed === 1 ? " was" : " were") + " shed in all (" + reasons(d.shed).map(([r]) => cut(r, 20)).join(", ") + ")";
  if (d.volatile) return "nothing is lost while the router runs, but they are only in memory";
  return "nothing is lost";
}

// troubleOf says what is wrong with d: null, or {level, text, hint}. alone says that all others are well.
function troubleOf(d, ctx, alone) {
  const { rates, now, history, seen } = ctx;
  const st = stateOf(d, rates, now);
  const others = alone ? "; the others are not affected" : "";
  const hint = d.hint ? cut(d.hint, 300) : "";
  const why = brief(d.error);
  switch (st.word) {
    case "not delivering": case "trying again": case "failing": case "on hold": {
      const since = silentSince(d, history, seen && seen.get(d.name));
      const span = since ? " for " + fmtSpan(now - since) : "";
      const left = d.buffered > 0 ? waits(d) + "; " + lossOf(d, rates) + others + "." : "Nothing waits for it" + others + ".";
      return { level: st.level, text: d.name + " has not delivered" + span + (why ? ": " + ended(why) : ".") + " " + (d.held ? "Somebody has to change something. " : "") + left, hint };
    }
    case "stumbling":
      return { level: "warn", text: d.name + " delivers, but the last attempt failed: " + ended(why), hint };
    case "shedding":
      return { level: "bad", text: d.name + " can't keep up, and its buffer is at its bound: " + lossOf(d, rates) + others + ".", hint };
    case "memory only":
      return { level: "bad", text: d.name + " keeps its events only in memory: " + cut(d.problem, 160) + ".", hint: hint || "A restart loses what is buffered. Repair the disk; the router tries it again every 10 s." };
    case "full":
      return { level: "warn", text: "The buffer of " + d.name + " is at its bound of " + fmtBytes(d.max_bytes) + ": " + lossOf(d, rates) + others + ".", hint };
    case "moving":
      return { level: "warn", text: d.name + " moves its oldest events to " + d.fallback + " (" + cut(d.moving, 20) + "); nothing is lost.", hint };
    case "limited":
      return d.buffered > 0 && now - Date.parse(d.oldest) > behindAfter
        ? { level: "note", text: d.name + " is held back by max_rate (" + fmtBytes(d.max_rate) + "/s): " + waits(d) + ".", hint } : null;
    case "catching up": {
      const out = rates.of("d", d.name, "delivered"), net = out - (rates.of("d", d.name, "offered") || 0);
      const eta = net > 0 ? ", about " + fmtSpan((d.buffered / net) * 1000) + " to go" : "";
      return { level: "warn", text: d.name + (net > 0 ? " catches up: " : " falls behind: ") + waits(d) + eta + "; " + lossOf(d, rates) + ".", hint };
    }
    case "waiting":
      return { level: "warn", text: d.name + " delivers nothing at the moment: " + waits(d) + ", the oldest for " + fmtSpan(now - Date.parse(d.oldest)) + "; " + lossOf(d, rates) + others + ".", hint };
  }
  if (d.problem) return { level: "warn", text: d.name + ": " + cut(d.problem, 200) + ".", hint };
  return null;
}

// headlineOf is the sentence at the top, and the further ones below it.
function headlineOf(s, ctx) {
  const dests = s.destinations || [];
  const bad = dests.filter((d) => ["not delivering", "trying again", "failing", "on hold"].includes(stateOf(d, ctx.rates, ctx.now).word));
  const odd = dests.filter((d) => levels[stateOf(d, ctx.rates, ctx.now).level] >= levels.warn);
  const all = dests.map((d) => { const t = troubleOf(d, ctx, dests.length > 1 && odd.length === 1); return t && Object.assign(t, { subject: d.name }); }).filter(Boolean);
  all.sort((a, b) => levels[b.level] - levels[a.level]);
  const rest = noticesOf(s);
  const listed = (list) => list.concat(rest).sort((a, b) => levels[b.level] - levels[a.level]);
  if (s.phase === "starting") return { level: "warn", text: "The router starts: it accepts, and opens its buffers.", list: listed(all) };
  if (s.phase === "stopping") return { level: "warn", text: "The router is stopping: it delivers what it can and keeps the rest on disk.", list: listed(all) };
  if (bad.length > 1) {
    const n = bad.reduce((a, d) => a + (d.buffered || 0), 0), b = bad.reduce((a, d) => a + (d.buffered_bytes || 0), 0);
    const lost = bad.some((d) => sumOf(d.shed) > 0 || d.volatile);
    const text = (bad.length === dests.length ? "None of the " + dests.length : bad.length + " of " + dests.length) + " destinations " + (bad.length === dests.length ? "delivers" : "do not deliver") + ": " + bad.map((d) => d.name).join(", ") +
      ". " + plural(n, "event") + " (" + fmtBytes(b) + ") wait in their buffers" + (lost ? "" : "; nothing is lost") + (odd.length === bad.length && bad.length < dests.length ? "; the others are not affected" : "") + ".";
    return { level: "bad", text, list: listed(all) };
  }
  if (all.length) return { level: all[0].level, text: all[0].text, subject: all[0].subject, hint: all[0].hint, list: listed(all.slice(1)) };
  const degraded = rest.find((n) => levels[n.level] >= levels.bad);
  if (!dests.length) return { level: "warn", text: "No destination is configured.", list: rest };
  const text = dests.length === 1 ? dests[0].name + " delivers." : "All " + dests.length + " destinations deliver.";
  return { level: degraded ? "warn" : "ok", text, list: rest };
}

// noticesOf is what one should know about the router itself.
function noticesOf(s) {
  const out = [];
  if (s.degraded) out.push({ level: "bad", text: "Not the given configuration runs, but the last one that worked: " + cut(s.degraded, 300), hint: "" });
  if (s.reload && !s.reload.ok) out.push({ level: "warn", text: "The last reload (" + fmtClock(Date.parse(s.reload.at)) + ") changed nothing: " + cut(s.reload.error, 300), hint: "" });
  for (const d of s.destinations || []) {
    const l = ledgerOf(d);
    if (l.diff !== 0) out.push({ level: "bad", text: "The ledger of " + d.name + " does not balance: " + unbalanced(l.diff) + ".", hint: "" });
    if (d.dead_letters_kept > 0) {
      out.push({ level: "note", text: plural(d.dead_letters_kept, "dead letter") + " of " + d.name + (d.dead_letters_kept === 1 ? " is" : " are") + " kept (" + reasons(d.dead_letters_reasons || d.dead_lettered).map(([r]) => cut(r, 30)).join(", ") + ").", hint: "", command: "firebreak buffer replay " + shellWord(d.name) });
    }
  }
  for (const i of s.inputs || []) {
    const l = inputLedgerOf(i);
    if (l.diff !== 0) out.push({ level: "bad", text: "The ledger of the input " + i.name + " does not balance: " + unbalanced(l.diff) + ".", hint: "" });
  }
  for (const w of s.warnings || []) out.push({ level: "warn", text: cut(w, 400), hint: "" });
  for (const o of s.orphans || []) {
    out.push({ level: "note", text: o.name + " is not configured any more, but " + fmtBytes((o.bytes || 0) + (o.dead_letters_bytes || 0)) + " of it are still here.", hint: "", command: o.command });
  }
  return out.sort((a, b) => levels[b.level] - levels[a.level]);
}

const ended = (s) => (/[.…!?]$/.test(s) ? s : s + ".");

function unbalanced(diff) {
  return plural(Math.abs(diff), "event") + (diff > 0 ? " unaccounted for" : " too many");
}

// shellWord quotes a name for a command line, if it needs it.
function shellWord(s) {
  return /^[A-Za-z0-9_.-]+$/.test(s) ? s : "'" + String(s).replace(/'/g, "'\\''") + "'";
}
