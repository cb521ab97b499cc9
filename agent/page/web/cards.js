// One card for each destination and each input.

function destCard(d) {
  const ui = {};
  const card = el("article", { cls: "card dest", id: "d-" + encodeURIComponent(d.name), tabindex: "-1", "aria-label": "Destination " + d.name });
  ui.mark = mark("ok");
  ui.state = el("span", { cls: "state" });
  ui.breaker = el("span", { cls: "chip" });
  ui.tags = el("div", { cls: "tags" });
  ui.error = el("p", { cls: "error" }); ui.hint = el("p", { cls: "hint" });
  ui.inRate = el("b"); ui.outRate = el("b"); ui.bytes = el("small");
  ui.bar = el("div", { cls: "bar", role: "meter", "aria-label": "Buffer", "aria-valuemin": "0", "aria-valuemax": "100" }, el("i"));
  ui.backlog = el("b"); ui.bound = el("small"); ui.oldest = el("small");
  ui.chart = new Chart({ title: "In and out per second", format: (v) => fmtRate(v) + "/s", height: 54, small: true });
  ui.wait = new Chart({ title: "Backlog", format: fmtBytes, height: 34, small: true, floor: 1 << 20 });
  ui.charts = el("div", { cls: "spark" }, ui.chart.root, ui.wait.root);
  ui.ledger = ledgerView("offered", [["delivered", "delivered"], ["dead", "dead letters"], ["shed", "shed"], ["moved", "moved"], ["buffered", "buffered"]]);
  ui.servers = el("ul", { cls: "servers" });
  ui.dead = el("div", { cls: "dead" });
  ui.more = el("dl", { cls: "facts" });
  card.append(
    el("header", {}, ui.mark, el("h3", {}, d.name), ui.state), el("div", { cls: "chips" }, ui.breaker, ui.tags), ui.error, ui.hint,
    el("div", { cls: "pair" }, el("div", {}, el("small", {}, "in"), ui.inRate), el("div", {}, el("small", {}, "out"), ui.outRate, ui.bytes)),
    el("div", { cls: "backlog" }, el("div", { cls: "line" }, ui.backlog, ui.oldest), ui.bar, ui.bound),
    ui.charts, ui.ledger.root, ui.servers, ui.dead,
    el("details", {}, el("summary", {}, "Requests and memory"), ui.more));
  card.ui = ui;
  return card;
}

function updateDest(card, d, s, ctx) {
  const ui = card.ui, { rates, now, history } = ctx, st = stateOf(d, rates, now);
  attr(card, "data-level", st.level);
  setMark(ui.mark, st.level);
  text(ui.state, st.word);
  text(ui.breaker, "breaker " + d.breaker + (d.breaker === "open" && d.next_try ? " · next try " + untilTry(d, now) : ""));
  attr(ui.breaker, "data-breaker", d.breaker);
  const tags = [d.type];
  if (d.volatile) tags.push("in memory only");
  if (d.max_rate) tags.push("at most " + fmtBytes(d.max_rate) + "/s" + (d.limited ? ", at its limit" : ""));
  if (d.fallback) tags.push((d.moving ? "moving to " : "fallback ") + d.fallback + (d.moving ? " (" + cut(d.moving, 20) + ")" : ""));
  if (d.full) tags.push("at its bound");
  keyed(ui.tags, tags, (t) => t, (t) => el("span", { cls: "tag" }, t), () => {});
  shown(ui.error, !!(d.error || d.problem)); text(ui.error, cut([d.error, d.problem].filter(Boolean).join(" · "), 400));
  shown(ui.hint, !!d.hint); text(ui.hint, "→ " + cut(d.hint, 400));
  text(ui.inRate, fmtRate(rates.of("d", d.name, "offered")) + "/s");
  text(ui.outRate, fmtRate(rates.of("d", d.name, "delivered")) + "/s");
  const sent = rates.of("d", d.name, "sent");
  text(ui.bytes, sent > 0 ? fmtBytes(sent) + "/s" : "");
  const share = d.max_bytes > 0 ? d.buffered_bytes / d.max_bytes : 0;
  text(ui.backlog, d.buffered > 0 ? plural(d.buffered, "event") + " waiting" : "Nothing waiting");
  text(ui.oldest, d.buffered > 0 && d.oldest ? "oldest " + fmtSpan(now - Date.parse(d.oldest)).replace("less than ", "<") : "");
  text(ui.bound, fmtBytes(d.buffered_bytes) + " of " + fmtBytes(d.max_bytes) + " (" + (share > 0 && share < 0.001 ? "<0.1" : (share * 100).toFixed(share < 0.1 ? 1 : 0)) + " %)");
  ui.bar.firstChild.style.width = d.buffered > 0 ? Math.max(0.5, Math.min(100, share * 100)) + "%" : "0";
  attr(ui.bar, "aria-valuenow", Math.round(Math.min(1, share) * 100)); attr(ui.bar, "aria-valuetext", ui.bound.textContent);
  attr(ui.bar, "data-high", share > 0.75 ? "1" : null);
  const h = history && history.destinations && Object.hasOwn(history.destinations, d.name) ? history.destinations[d.name] : null;
  shown(ui.charts, !!h);
  if (h && ui.drawn !== history) {
    ui.drawn = history;
    const end = Date.parse(history.end);
    ui.chart.set([{ name: "out", color: destHue(s, d), values: h.delivered || [] }, { name: "in", color: "var(--ink-2)", values: h.offered || [], line: true }], end, history.step_seconds);
    ui.wait.set([{ name: "backlog", color: "var(--warn)", values: h.buffered_bytes || [] }], end, history.step_seconds);
  }
  ui.ledger.set(ledgerOf(d));
  servers(ui.servers, d.output);
  deadLetters(ui.dead, d);
  facts(ui.more, [["requests", fmtExact(d.requests)], ["failed requests", fmtExact(d.failed_requests)], ["in flight", fmtExact(d.requests_in_flight)], ["events sent again", fmtExact(d.retried_events)],
    ["leased events", fmtExact(d.leased)], ["replayed", fmtExact(d.replayed || 0)], ["on disk", fmtBytes(d.disk_bytes)], ["memory held", fmtBytes(d.memory_bytes)],
    ...reasons(d.shed).map(([r, n]) => ["shed: " + r, fmtExact(n)]), ...reasons(d.moved).map(([r, n]) => ["moved to " + r, fmtExact(n)]), ["sent", fmtBytes(d.sent_bytes)], ["breaker since", fmtClock(Date.parse(d.breaker_since))]]);
}

function facts(dl, list) {
  keyed(dl, list, (f) => f[0], (f) => el("div", {}, el("dt", {}, f[0]), el("dd")), (e, f) => text(e.lastChild, f[1]));
}

// servers lists those of a forward destination, when there is something to say: several, or one that is down.
function servers(root, output) {
  const list = (Array.isArray(output) ? output : []).filter((x) => x && typeof x.address === "string").slice(0, 20);
  const some = list.length > 1 || list.some((x) => !x.up);
  shown(root, some);
  keyed(root, some ? list : [], (x) => x.address, (x) => el("li", {}, mark("ok"), el("span", {}, x.address + (x.standby ? " (standby)" : "")), el("em")), (e, x) => {
    setMark(e.firstChild, x.up ? "ok" : "bad");
    text(e.lastChild, (x.up ? "up" : "down") + " since " + fmtClock(Date.parse(x.since)));
  });
}

// deadLetters shows what is kept, why, and the commands that show and replay it.
function deadLetters(root, d) {
  const kept = d.dead_letters_kept || 0, gone = d.dead_letters_discarded || 0;
  shown(root, kept > 0 || gone > 0);
  const now = JSON.stringify([kept, gone, d.dead_letters_bytes, d.dead_letters_reasons]);
  if (root.__now === now) return;
  root.__now = now;
  if (!kept && !gone) return root.replaceChildren();
  root.replaceChildren(...[
    el("h4", {}, plural(kept, "dead letter") + " kept (" + fmtBytes(d.dead_letters_bytes) + ")"),
    el("ul", {}, reasons(d.dead_letters_reasons).map(([r, n]) => el("li", {}, el("span", {}, cut(r, 60)), el("b", {}, fmtExact(n))))),
    gone > 0 && el("p", { cls: "note" }, fmtExact(gone) + " older ones were discarded to keep the bound."),
    kept > 0 && command("firebreak buffer dump " + shellWord(d.name) + " --dead"),
    kept > 0 && command("firebreak buffer replay " + shellWord(d.name))].filter(Boolean));
}

// ledgerView shows a sum as a row of numbers, without those that are zero, and whether it balances.
function ledgerView(total, parts) {
  const sum = el("b", { cls: "num" }), verdict = el("span", { cls: "verdict" }), icon = mark("ok"), words = el("span");
  verdict.append(icon, words);
  const cells = parts.map(([k, name], i) => {
    const num = el("b", { cls: "num" });
    return { k, num, root: el("span", { cls: "term" }, el("span", { cls: "op" }, i > 0 ? "+" : "="), num, el("small", {}, name)) };
  });
  const row = el("p", { cls: "sum" }, el("span", { cls: "term" }, sum, el("small", {}, total)), cells.map((c) => c.root));
  const root = el("div", { cls: "ledger" }, row, verdict);
  return {
    root,
    set(l) {
      text(sum, fmtExact(l[total]));
      for (const c of cells) { text(c.num, fmtExact(l[c.k])); shown(c.root, l[c.k] !== 0 || c === cells[0]); }
      setMark(icon, l.diff === 0 ? "ok" : "bad");
      attr(verdict, "data-level", l.diff === 0 ? "ok" : "bad");
      text(words, l.diff === 0 ? "balanced" : unbalanced(l.diff));
    },
  };
}

function inputCard(i) {
  const ui = { rate: el("b"), bytes: el("small"), listen: el("p", { cls: "listen" }), conns: el("b") };
  ui.chart = new Chart({ title: "Received per second", format: (v) => fmtRate(v) + "/s", height: 44, small: true });
  ui.charts = el("div", { cls: "spark" }, ui.chart.root);
  ui.ledger = ledgerView("received", [["routed", "routed"], ["dropped", "dropped"], ["discarded", "discarded"], ["invalid", "invalid"]]);
  ui.more = el("dl", { cls: "facts" });
  const card = el("article", { cls: "card", "aria-label": "Input " + i.name }, el("header", {}, el("h3", {}, i.name), el("span", { cls: "tag" }, i.type)), ui.listen,
    el("div", { cls: "pair" }, el("div", {}, el("small", {}, "received"), ui.rate, ui.bytes), el("div", {}, el("small", {}, "connections"), ui.conns)), ui.charts, ui.ledger.root,
    el("details", {}, el("summary", {}, "Connections, lines and errors"), ui.more));
  card.ui = ui;
  return card;
}

function updateInput(card, i, s, ctx) {
  const ui = card.ui, { rates, history } = ctx;
  text(ui.rate, fmtRate(rates.of("i", i.name, "received")) + "/s");
  const b = rates.of("i", i.name, "bytes");
  text(ui.bytes, b > 0 ? fmtBytes(b) + "/s" : "");
  text(ui.conns, fmtExact(i.connections));
  text(ui.listen, (i.listen || []).join("  "));
  ui.ledger.set(inputLedgerOf(i));
  const h = history && history.inputs && Object.hasOwn(history.inputs, i.name) ? history.inputs[i.name] : null;
  shown(ui.charts, !!h);
  if (h && ui.drawn !== history) { ui.drawn = history; ui.chart.set([{ name: "received", color: "var(--flow)", values: h.received || [] }], Date.parse(history.end), history.step_seconds); }
  const each = (title, m) => reasons(m).map(([r, n]) => [title + ": " + r, fmtExact(n)]);
  facts(ui.more, [["acknowledged", fmtExact(i.acks)], ["refused connections", fmtExact(i.refused_connections)], ["lines held for their rest", fmtExact(i.held_lines)], ["received in all", fmtBytes(i.received_bytes)],
    ...each("dropped", i.dropped), ...each("discarded", i.discarded), ...each("invalid", i.invalid), ...each("error", i.errors), ...each("broken line", i.broken_lines), ...each("rejected", i.rejected), ...each("truncated", i.truncated), ...each("redacted", i.redacted)]);
}
