// The same numbers as tables: for screen readers, for copying, and for those who like tables.

class Tables {
  constructor(root) {
    this.root = root;
    this.parts = [
      table("Inputs", ["input", "type", "connections", "in /s", "received", "routed", "dropped", "discarded", "invalid", "ledger"], (s, c) => (s.inputs || []).map((i) => {
        const l = inputLedgerOf(i);
        return [i.name, i.type, fmtExact(i.connections), fmtRate(c.rates.of("i", i.name, "received")), ...[l.received, l.routed, l.dropped, l.discarded, l.invalid].map(fmtExact), l.diff === 0 ? "balanced" : unbalanced(l.diff)];
      })),
      table("Types", ["type", "to", "events /s", "bytes /s", "events", "bytes"], (s, c) => (s.routes || []).map((r) =>
        [r.name, r.discard ? "discarded" : (r.to || []).join(", "), fmtRate(c.rates.of("r", r.name, "events")), fmtBytes(c.rates.of("r", r.name, "bytes")), fmtExact(r.events), fmtBytes(r.bytes)])),
      table("Destinations", ["destination", "type", "state", "breaker", "in /s", "out /s", "buffered", "bytes", "bound", "oldest"], (s, c) => (s.destinations || []).map((d) =>
        [d.name, d.type, stateOf(d, c.rates, c.now).word, d.breaker, fmtRate(c.rates.of("d", d.name, "offered")), fmtRate(c.rates.of("d", d.name, "delivered")), fmtExact(d.buffered), fmtBytes(d.buffered_bytes), fmtBytes(d.max_bytes), d.buffered > 0 && d.oldest ? fmtSpan(c.now - Date.parse(d.oldest)) : "–"])),
      table("Ledgers of the destinations", ["destination", "offered", "delivered", "dead letters", "shed", "moved", "buffered", "ledger"], (s) => (s.destinations || []).map((d) => {
        const l = ledgerOf(d);
        return [d.name, ...[l.offered, l.delivered, l.dead, l.shed, l.moved, l.buffered].map(fmtExact), l.diff === 0 ? "balanced" : unbalanced(l.diff)];
      })),
      table("Errors", ["destination", "error", "what to change", "failed requests", "of", "next try"], (s, c) => (s.destinations || []).filter((d) => d.error || d.problem || d.failed_requests > 0).map((d) =>
        [d.name, cut([d.error, d.problem].filter(Boolean).join(" · "), 400) || "–", cut(d.hint, 400) || "–", fmtExact(d.failed_requests), fmtExact(d.requests), d.next_try ? untilTry(d, c.now) : "–"])),
      table("Given up, and why", ["destination", "what", "reason", "events"], (s) => (s.destinations || []).flatMap((d) =>
        [["dead letters", d.dead_lettered], ["dead letters kept", d.dead_letters_reasons], ["shed", d.shed], ["moved", d.moved]].flatMap(([what, m]) => reasons(m).map(([r, n]) => [d.name, what, cut(r, 80), fmtExact(n)])))),
    ];
    for (const p of this.parts) root.append(p.root);
  }
  draw(s, ctx) {
    if (this.root.hidden) return;
    for (const p of this.parts) p.set(p.rows(s, ctx));
  }
}

function table(title, heads, rows) {
  const body = el("tbody"), head = el("tr", {}, heads.map((h) => el("th", { scope: "col" }, h)));
  const root = el("div", { cls: "panel" }, el("div", { cls: "scroll", tabindex: "0", role: "region", "aria-label": title }, el("table", { cls: "plain" }, el("caption", {}, title), el("thead", {}, head), body)));
  return {
    root, rows,
    set(list) {
      shown(root, list.length > 0);
      if (!list.length) return;
      const kinds = heads.map((h, i) => (/ledger|oldest|next try/.test(h) ? null : list.every((cells) => /^[–<]?[\d,.]*( ?[kKMGT]?i?B?)$/.test(cells[i])) ? "n" : list.some((cells) => cells[i].length > 40) ? "long" : null));
      kinds.forEach((k, i) => attr(head.children[i], "class", i === 0 ? null : k));
      keyed(body, list.map((cells, id) => ({ cells, id })), (r) => r.id, () => el("tr", {}, heads.map((h, i) => (i === 0 ? el("th", { scope: "row" }) : el("td")))), (tr, r) => {
        r.cells.forEach((c, i) => { text(tr.children[i], c); if (i > 0) attr(tr.children[i], "class", kinds[i]); });
      });
    },
  };
}
