package page

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/firebreak/firebreak/agent/page/pagetest"
)

// The page's functions, asked in the page. Each expression must be true.
func testModel(t *testing.T, b *pagetest.Browser) {
	tab, _ := open(t, b, scene{began: time.Now()}, desk)
	const setup = `
		globalThis.status_ = (t, started, n) => ({ now: new Date(1e9 + t).toISOString(), started, destinations: [{ name: "a", offered: n, delivered: n, moved: { b: n } }], routes: [{ name: "r", events: n, bytes: 10 * n, to: ["a"] }], inputs: [] });
		globalThis.dest_ = (o) => Object.assign({ name: "a", breaker: "closed", buffered: 0, buffered_bytes: 0, max_bytes: 1000, offered: 0, delivered: 0 }, o);
		globalThis.ctx_ = (seen) => ({ rates: new Rates(), now: 1000000, history: null, seen: new Map(Object.entries(seen || {})) });
		globalThis.head_ = (...dests) => headlineOf({ phase: "running", destinations: dests.map((d) => Object.assign(d, { offered: (d.delivered || 0) + (d.buffered || 0) + sumOf(d.shed) })) }, ctx_({ a: 1000000 - 180000 }));
	`
	if err := tab.Eval(setup, nil); err != nil {
		t.Fatal(err)
	}
	for _, expression := range []string{
		// ledgers
		`ledgerOf({ offered: 10, delivered: 3, dead_lettered: { x: 1, y: 1 }, shed: { full: 2 }, moved: { b: 1 }, buffered: 2 }).diff === 0`,
		`ledgerOf({ offered: 11, delivered: 3, buffered: 2 }).diff === 6`,
		`inputLedgerOf({ received: 10, routed: 4, dropped: { p: 1 }, discarded: { r: 3 }, invalid: { bad: 2 } }).diff === 0`,
		`unbalanced(1) === "1 event unaccounted for" && unbalanced(-2) === "2 events too many"`,
		// rates
		`(() => { const r = new Rates(); r.add(status_(0, "x", 100)); const none = r.of("d", "a", "offered"); r.add(status_(2000, "x", 300)); return none === null && r.of("d", "a", "offered") === 100 && r.of("d", "a", "moved", "b") === 100 && r.of("r", "r", "bytes") === 1000 && r.of("d", "b", "offered") === null })()`,
		`(() => { const r = new Rates(); r.add(status_(0, "x", 100)); r.add(status_(1000, "y", 5)); return r.of("d", "a", "offered") === null })()`,
		`(() => { const r = new Rates(); r.add(status_(0, "x", 100)); r.add(status_(1000, "x", 5)); r.add(status_(2000, "x", 25)); return r.of("d", "a", "offered") === 20 })()`,
		`(() => { const r = new Rates(); r.add(status_(5000, "x", 100)); r.add(status_(1000, "x", 105)); return r.of("d", "a", "offered") === null })()`,
		`(() => { const r = new Rates(); for (let i = 0; i < 100; i++) r.add(status_(i * 1000, "x", i < 90 ? 0 : (i - 89) * 50)); return r.samples.length <= 6 && r.of("d", "a", "offered") === 50 })()`,
		`(() => { const r = new Rates(); r.add(status_(0, "x", 0)); r.add(status_(1000, "x", 1000)); r.add(status_(600000, "x", 2000)); r.add(status_(601000, "x", 2007)); return r.of("d", "a", "offered") === 7 })()`,
		// sentences
		`head_(dest_({}), dest_({ name: "b" })).text === "All 2 destinations deliver."`,
		`head_(dest_({})).text === "a delivers."`,
		`head_(dest_({ breaker: "open", error: "dial tcp 10.0.0.1:24224: connect: connection refused", buffered: 12340, buffered_bytes: 3250586 }), dest_({ name: "b" }), dest_({ name: "c" })).text === "a has not delivered for 3 min: connection refused. 12,340 events (3.1 MiB) wait in its buffer; nothing is lost; the others are not affected."`,
		`head_(dest_({ breaker: "open", error: "x", buffered: 1, buffered_bytes: 10, shed: { full: 7 } })).text === "a has not delivered for 3 min: x. 1 event (10 B) waits in its buffer; 7 events were shed in all (full)."`,
		`head_(dest_({ breaker: "open", error: "x", buffered: 1 }), dest_({ name: "b", breaker: "open", error: "y" }), dest_({ name: "c" })).text.startsWith("2 of 3 destinations do not deliver: a, b.")`,
		`head_(dest_({ breaker: "open" }), dest_({ name: "b", error: "y" })).text.startsWith("None of the 2 destinations delivers: a, b.")`,
		`head_(dest_({ buffered: 5, buffered_bytes: 9, oldest: new Date(900000).toISOString() })).text === "a delivers nothing at the moment: 5 events (9 B) wait in its buffer, the oldest for 1 min; nothing is lost."`,
		`head_(dest_({ volatile: true, problem: "disk gone" })).text === "a keeps its events only in memory: disk gone."`,
		`headlineOf({ phase: "stopping", destinations: [] }, ctx_()).text.startsWith("The router is stopping")`,
		`brief("send to agg:24224: dial tcp 10.0.0.1:24224: connect: connection refused") === "connection refused" && brief("read: EOF") === "read: EOF"`,
		`shellWord("a-b.c") === "a-b.c" && shellWord("a b'c") === "'a b'\\''c'"`,
		// numbers
		`fmtCount(12340) === "12,340" && fmtCount(1234567) === "1.235 M" && fmtBytes(3250586) === "3.1 MiB" && fmtBytes(0) === "0 B" && fmtRate(0.04) === "<0.1" && fmtRate(null) === "–" && fmtSpan(59000) === "59 s" && fmtSpan(3 * 60000) === "3 min" && fmtSpan(7.26e6) === "2 h" && fmtMoney(0.004) === "<$0.01" && fmtMoney(1234.5) === "$1,235"`,
		`niceMax(0) === 0 && niceMax(7.1) === 7.5 && niceMax(100) === 100 && niceMax(101) === 150`,
		// flows
		`linksOf({ inputs: [{ name: "i", routes: { r: 5 } }], routes: [{ name: "r", to: ["a", "gone"] }, { name: "drop", discard: true }], destinations: [{ name: "a", fallback: "b" }, { name: "b" }] }, new Rates()).map((l) => l.kind + l.from + l.to).join() === "inir,inidrop,outra,moveab"`,
		// prices
		`validPrices(parts.costs.p.builtin, parts.costs.p.builtin).error === undefined`,
		`validPrices({ regions: { "us-east-1": { cw_ingest: -1 } } }, parts.costs.p.builtin).error.includes("at least 0")`,
		`validPrices({ regions: { "<b>": {} } }, parts.costs.p.builtin).error.includes("unreadable") && validPrices(null, parts.costs.p.builtin).error === "no regions in it"`,
		`(() => { const p = parts.costs.p; p.here.cw_ingest = 9; p.options.hosts = 500; p.keep(); const q = new Prices(); const kept = q.here.cw_ingest === 9 && q.options.hosts === 500 && q.edited; p.reset(true); return kept && new Prices().options.hosts === 1 && !new Prices().edited })()`,
	} {
		var ok bool
		if err := tab.Eval(expression, &ok); err != nil || !ok {
			t.Errorf("not true: %s (%v)", expression, err)
		}
	}
	calm(t, tab)
}

// The examples of docs/STATUS-PAGE.md: 1,000 events of 300 bytes a second, in us-east-1.
func testCosts(t *testing.T, b *pagetest.Browser) {
	tab, _ := open(t, b, scene{began: time.Now()}, desk)
	const gib = 1 << 30
	const seconds = 730 * 3600.0
	events, bytes := 1000*seconds, 300*1000*seconds
	kept := 30 / (730 / 24.0)
	stored := (bytes + 26*events) / gib * 0.15 * kept * 0.03
	for _, tt := range []struct {
		name, options, field string
		want                 float64
	}{
		{"", "{}", "cw", (bytes+26*events)/gib*0.5 + stored},
		{"", "{}", "cw_ia", (bytes+26*events)/gib*0.25 + stored},
		{"kept a day", "{ retention_days: 1 }", "cw", (bytes+26*events)/gib*0.5 + stored/30},
		{"each event is 5 KiB", "{}", "firehose", events * 5120 / gib * 0.029},
		{"17 events in a record of 5,100 bytes", "{ join_kib: 5 }", "firehose", events / 17 * 5120 / gib * 0.029},
		{"each event is 1 KiB", "{}", "kinesis", events*1024/gib*(0.08+0.04) + 730*0.04},
		{"no readers", "{ consumers: 0 }", "kinesis", events*1024/gib*0.08 + 730*0.04},
		{"one shard", "{}", "shards", 730*0.015 + events/1e6*0.014},
		{"two shards for 2,000 records", "{ hosts: 2 }", "shards", 2*730*0.015 + 2*events/1e6*0.014},
		{"13.5 MB in 5 minutes, one object each", "{}", "s3", seconds/300/1000*0.005 + bytes/gib*0.15*kept*0.023},
		{"8 MiB is reached first", "{ object_mib: 8 }", "s3", bytes*0.15/(8<<20)/1000*0.005 + bytes/gib*0.15*kept*0.023},
		{"uploaded in two parts, and begun and ended", "{ part_mib: 8 }", "s3", 4*seconds/300/1000*0.005 + bytes/gib*0.15*kept*0.023},
		{"500 hosts", "{ hosts: 500 }", "s3", 500 * (seconds/300/1000*0.005 + bytes/gib*0.15*kept*0.023)},
	} {
		var got float64
		err := tab.Eval(fmt.Sprintf(`costOf({ events: 1000, bytes: 300000 }, Object.assign({}, costDefaults, %s), parts.costs.p.builtin.regions["us-east-1"]).%s`, tt.options, tt.field), &got)
		if err != nil || math.Abs(got-tt.want) > 1e-9*tt.want {
			t.Errorf("%s %s: $%v, want $%v (%v)", tt.field, tt.name, got, tt.want, err)
		}
		t.Logf("%-9s %-42s $%.2f", tt.field, tt.name, got)
	}
	for _, expression := range []string{
		`Object.values(costOf({ events: 0, bytes: 0 }, costDefaults, parts.costs.p.here)).every((v) => v === 0)`,
		`s3Requests({ events: 1 / 3600, bytes: 0.1 }, costDefaults) === 730`, // an object holds at least one event
		`targetOf({ type: "forward" }) === null && targetOf({ type: "s3" }) === "s3" && targetOf({ type: "cloudwatch_logs" }) === "cw" && targetOf({ type: "kinesis_firehose" }) === "firehose" && targetOf({ type: "kinesis" }) === "kinesis"`,
		`(() => { const c = costNow({ to: ["a", "b", "gone"] }, [{ name: "a", type: "s3" }, { name: "b", type: "forward" }], { s3: 7 }); return c.total === 7 && c.paid })()`,
		`(() => { const c = costNow({ to: ["a"], discard: true }, [{ name: "a", type: "s3" }], { s3: 7 }); return c.total === 0 && !c.paid })()`,
	} {
		var ok bool
		if err := tab.Eval(expression, &ok); err != nil || !ok {
			t.Errorf("not true: %s (%v)", expression, err)
		}
	}
	has(t, tab, "#cost", "us-east-1", "Prices as of 2025-04", "no AWS charge · access", "all types")
	calm(t, tab)
}
