// The panel of costs: what each type would cost where, and what it costs where it goes now.

const priceNames = {
  cw_ingest: "CloudWatch, per GB in", cw_ia_ingest: "CloudWatch IA, per GB in", cw_storage: "CloudWatch, per GB kept a month", firehose: "Firehose, per GB in",
  kinesis_in: "Kinesis on demand, per GB in", kinesis_out: "Kinesis on demand, per GB out", kinesis_stream_hour: "Kinesis on demand, stream and hour", shard_hour: "Kinesis, shard and hour", put_million: "Kinesis, million PUT units",
  s3_put_1000: "S3, 1,000 PUT", s3_storage: "S3, per GB kept a month",
};
const optionNames = {
  hosts: "Hosts like this one", retention_days: "Days kept", compressed: "Compressed to, %", object_mib: "S3 object, MiB", object_minutes: "S3 object, minutes", part_mib: "S3 part, MiB", join_kib: "Records joined up to, KiB", consumers: "Kinesis readers",
};

class Costs {
  constructor(root) {
    this.p = new Prices();
    this.bars = el("div", { cls: "bars" });
    this.body = el("tbody"); this.foot = el("tr");
    this.heads = ["type", "events /s", "volume a month", ...costTargets.map((t) => t.short), "where it goes now"];
    this.region = el("select", { id: "price-region", onchange: () => this.change(() => { this.p.region = this.region.value; }) });
    this.basis = el("select", { id: "price-basis", onchange: () => this.change(() => { this.p.basis = this.basis.value; }) }, el("option", { value: "hour" }, "the last hour's rate"), el("option", { value: "now" }, "the present rate"));
    this.note = el("p", { cls: "note" });
    this.editor = el("div", { cls: "grid" }); this.opts = el("div", { cls: "grid" });
    this.file = el("input", { type: "file", id: "price-file", accept: "application/json,.json", hidden: true, onchange: () => this.import() });
    this.said = el("p", { cls: "note", role: "status" });
    root.append(
      el("div", { cls: "panel-head" }, el("h2", { id: "cost-title" }, "What each type would cost"), el("div", { cls: "picks" }, el("label", {}, "Region ", this.region), el("label", {}, "At ", this.basis))),
      el("p", { cls: "note" }, "Dollars a month at list prices, if all of it went there. Forward, file and stdout destinations cost nothing at AWS."),
      this.bars,
      el("div", { cls: "scroll", tabindex: "0", role: "region", "aria-label": "Costs by type" }, el("table", { cls: "stack" }, el("caption", { cls: "hidden" }, "Costs by type, dollars a month"), el("thead", {}, el("tr", {}, this.heads.map((h) => el("th", { scope: "col" }, h)))), this.body, el("tfoot", {}, this.foot))),
      this.note,
      el("details", { cls: "edit" }, el("summary", {}, "Assumptions and prices"), el("h3", {}, "Assumptions"), this.opts, el("h3", { id: "prices-of" }, "Prices"), this.editor,
        el("div", { cls: "buttons" }, el("button", { type: "button", onclick: () => this.change(() => { this.p.reset(true); this.say("Back to the built-in prices."); }, true) }, "Reset"),
          el("button", { type: "button", onclick: () => this.export() }, "Export"), el("button", { type: "button", onclick: () => this.file.click() }, "Import"), this.file), this.said));
    this.fields();
  }

  say(s) { text(this.said, s); }

  change(f, forgotten) {
    f();
    if (!forgotten) this.p.keep();
    this.fields();
    this.redraw();
  }

  number(name, value, title, set) {
    return el("label", {}, el("span", {}, title), el("input", { type: "number", min: "0", step: "any", name, value: String(value), inputmode: "decimal", onchange: (e) => {
      const v = Number(e.target.value);
      if (e.target.value === "" || !isFinite(v) || v < 0) { e.target.value = String(value); return; }
      this.change(() => set(v));
    } }));
  }

  fields() {
    const p = this.p, active = document.activeElement && document.activeElement.name;
    this.region.replaceChildren(...Object.entries(p.table.regions).map(([id, r]) => el("option", { value: id, selected: id === p.region }, id + " · " + r.name)));
    this.region.value = p.region; this.basis.value = p.basis;
    this.opts.replaceChildren(...Object.entries(optionNames).map(([k, t]) => this.number(k, p.options[k], t, (v) => { p.options[k] = v; })));
    this.editor.replaceChildren(...Object.entries(priceNames).map(([k, t]) => this.number(k, p.here[k], t + ((p.here.unsure || []).includes(k) ? " (unsure)" : ""), (v) => {
      p.here[k] = v; p.here.unsure = p.here.unsure.filter((f) => f !== k); p.edited = true; p.table.note = "Edited in this browser.";
    })));
    text(byId("prices-of"), "Prices in " + p.region + ", dollars");
    text(this.note, (p.edited ? "Your own prices. " : "Prices as of " + p.table.as_of + ". ") + p.table.note);
    if (active) { const again = [...this.opts.querySelectorAll("input"), ...this.editor.querySelectorAll("input")].find((i) => i.name === active); if (again) again.focus(); }
  }

  export() {
    const url = URL.createObjectURL(new Blob([JSON.stringify(this.p.export(), null, 2)], { type: "application/json" }));
    const a = el("a", { href: url, download: "firebreak-prices.json" });
    a.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  import() {
    const f = this.file.files[0];
    this.file.value = "";
    if (!f) return;
    if (f.size > 200000) return this.say("This file is too large for a price table.");
    f.text().then((t) => {
      let given;
      try { given = JSON.parse(t); } catch { return this.say("This file is no JSON."); }
      const error = this.p.take(given);
      if (error) return this.say("Nothing imported: " + error + ".");
      this.change(() => this.say("Imported " + cut(f.name, 60) + "."));
    });
  }

  // flowOf is the rate of a type: of the last hour as far as there is one, or the present one.
  flowOf(name) {
    const [, ctx] = this.last, h = ctx.history && ctx.history.routes && Object.hasOwn(ctx.history.routes, name) ? ctx.history.routes[name] : null;
    const now = { events: ctx.rates.of("r", name, "events"), bytes: ctx.rates.of("r", name, "bytes") };
    if (this.p.basis === "now" || !h) return now;
    const events = averageOf(h.events), bytes = averageOf(h.bytes);
    return events == null || bytes == null ? now : { events, bytes };
  }

  draw(s, ctx) { this.last = [s, ctx]; this.redraw(); }

  redraw() {
    if (!this.last) return;
    const [s] = this.last, total = { now: 0, paid: false, volume: 0, events: 0 };
    for (const t of costTargets) total[t.id] = 0;
    const rows = (s.routes || []).map((r) => {
      const flow = this.flowOf(r.name), costs = costOf(flow, this.p.options, this.p.here), now = costNow(r, s.destinations || [], costs);
      const volume = (flow.bytes || 0) * monthSeconds * this.p.options.hosts;
      for (const t of costTargets) total[t.id] += costs[t.id];
      total.now += now.total; total.paid = total.paid || now.paid; total.volume += volume; total.events += flow.events || 0;
      const where = r.discard ? "discarded" : (r.to || []).join(", ");
      return { name: r.name, cells: [r.name, fmtRate(flow.events), fmtVolume(flow.bytes == null ? null : volume), ...costTargets.map((t) => fmtMoney(costs[t.id])), (now.paid ? fmtMoney(now.total) : "no AWS charge") + " · " + where] };
    });
    const make = (r) => el("tr", {}, r.cells.map((c, i) => (i === 0 ? el("th", { scope: "row", "data-head": this.heads[i] }) : el("td", { cls: i < r.cells.length - 1 ? "n" : "last", "data-head": this.heads[i] }))));
    const update = (tr, r) => r.cells.forEach((c, i) => text(tr.children[i], c));
    keyed(this.body, rows, (r) => r.name, make, (tr, r) => { tr.firstChild.style.setProperty("--hue", hueOf(s, r.name)); update(tr, r); });
    const sum = { cells: ["all types", fmtRate(total.events), fmtVolume(total.volume), ...costTargets.map((t) => fmtMoney(total[t.id])), total.paid ? fmtMoney(total.now) : "no AWS charge"] };
    if (!this.foot.children.length) this.foot.append(...make(sum).children);
    update(this.foot, sum);
    const most = Math.max(1e-9, ...costTargets.map((t) => total[t.id]));
    keyed(this.bars, costTargets, (t) => t.id, (t) => el("div", { cls: "cost-bar" }, el("span", { cls: "of" }, t.name), el("span", { cls: "track" }, el("i")), el("b")), (e, t) => {
      e.querySelector("i").style.width = Math.max(total[t.id] > 0 ? 0.4 : 0, (total[t.id] / most) * 100) + "%";
      text(e.lastChild, fmtMoney(total[t.id]));
    });
  }
}
