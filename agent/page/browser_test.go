package page

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/agent/page/pagetest"
)

// open opens the page of a router that shows the scene, and waits until it knows the rates.
func open(t *testing.T, b *pagetest.Browser, sc scene, v pagetest.View) (*pagetest.Tab, *pagetest.Router) {
	t.Helper()
	r := &pagetest.Router{Page: Handler()}
	r.Set(sc.status, sc.history)
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	tab := b.Open(t, srv.URL+"/", v)
	tab.Wait(`document.querySelector("#kpis b") && document.querySelector("#kpis b").textContent !== "–"`, 10*time.Second)
	return tab, r
}

func calm(t *testing.T, tab *pagetest.Tab) {
	t.Helper()
	for _, p := range tab.Problems() {
		t.Errorf("the console says: %s", p)
	}
}

func has(t *testing.T, tab *pagetest.Tab, selector string, want ...string) {
	t.Helper()
	got := tab.Text(selector)
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%s is %q, want %q in it", selector, got, w)
		}
	}
}

var desk = pagetest.View{Width: 1280, Height: 900, Still: true}

// Everything that can be said about a router at once.
func trouble(now time.Time) scene {
	return scene{began: now, sick: "error", since: now.Add(-195 * time.Second), extra: func(s obj) {
		s["degraded"] = "firebreak.yaml:12:3: unknown key \"serverz\", did you mean \"servers\"?"
		s["warnings"] = []string{"the sum of max_bytes (9.0 GiB) exceeds the free space of /var/lib/firebreak (4.1 GiB)"}
		s["orphans"] = []obj{{"name": "old-archive", "bytes": 734003200, "dead_letters_bytes": 0, "command": "firebreak buffer replay old-archive --to archive"}}
		s["reload"] = obj{"at": now.Add(-time.Hour), "ok": false, "error": "firebreak.yaml:12:3: unknown key", "changes": []string{}, "count": 3, "failed": 1}
		d := s["destinations"].([]obj)
		d[1]["fallback"], d[1]["moving"], d[1]["moved"] = "archive", "breaker", obj{"archive": uint64(time.Since(now).Seconds()*900) + 5000}
		d[1]["offered"] = d[1]["offered"].(uint64) + d[1]["moved"].(obj)["archive"].(uint64)
		d[2]["dead_letters_kept"], d[2]["dead_letters_bytes"], d[2]["dead_letters_reasons"] = 12, 8123, obj{"rejected": 9, "too_large": 3}
		d[2]["dead_lettered"], d[2]["offered"] = obj{"rejected": 9, "too_large": 3}, d[2]["offered"].(uint64)+12
		d[2]["volatile"], d[2]["problem"] = true, "write /var/lib/firebreak/audit/00000017.seg: read-only file system"
		d[3]["shed"], d[3]["offered"] = obj{"full": 4711}, d[3]["offered"].(uint64)+4711-1 // one too many: it does not balance
		d[3]["max_rate"], d[3]["limited"] = 4<<20, true
	}}
}

// In one browser, which takes a second to start.
func TestInBrowser(t *testing.T) {
	b := pagetest.Start(t)
	for name, test := range map[string]func(*testing.T, *pagetest.Browser){
		"hostile names": testHostileNames, "shows the status": testShowsTheStatus, "away and back": testAwayAndBack, "fits a phone": testFitsAPhone,
		"contrast": testContrast, "keyboard": testKeyboard, "ribbons": testRibbons, "prices": testPrices, "model": testModel, "costs": testCosts,
	} {
		t.Run(name, func(t *testing.T) { test(t, b) })
	}
}

// More of everything than usual, with long names.
func many(now time.Time) scene {
	return scene{began: now, extra: func(s obj) {
		n := func(rate float64) uint64 { return uint64(rate * (time.Since(now).Seconds() + 100)) }
		var ins, routes, dests []obj
		for i := range 3 {
			by := obj{}
			for j := range 14 {
				if j%3 == i || j < 2 {
					by[fmt.Sprintf("type-%d-of-a-long-name", j)] = n(float64(10 * (j*j + 1)))
				}
			}
			ins = append(ins, obj{"name": fmt.Sprintf("input-%d", i), "type": "forward", "received": n(3000), "routed": n(3000), "routes": by})
		}
		for j := range 14 {
			to := []string{fmt.Sprintf("destination-%d.example", j%6)}
			if j == 5 {
				to = append(to, "destination-0.example", "destination-3.example")
			}
			routes = append(routes, obj{"name": fmt.Sprintf("type-%d-of-a-long-name", j), "to": to, "continue": j == 3, "events": n(float64(10 * (j*j + 1))), "bytes": n(float64(3000 * (j*j + 1)))})
		}
		for k := range 6 {
			dests = append(dests, obj{"name": fmt.Sprintf("destination-%d.example", k), "type": "forward", "breaker": []string{"closed", "half-open"}[k/5], "breaker_since": now, "error": strings.Repeat("a long error ", k*4),
				"offered": n(1500), "delivered": n(1500), "max_bytes": 1 << 30})
		}
		s["inputs"], s["routes"], s["destinations"] = ins, routes, dests
	}}
}

// FIREBREAK_PAGE_SHOTS=DIR writes pictures of all scenes there.
func TestPictures(t *testing.T) {
	dir := os.Getenv("FIREBREAK_PAGE_SHOTS")
	if dir == "" {
		t.Skip("FIREBREAK_PAGE_SHOTS names no directory for the pictures")
	}
	b := pagetest.Start(t)
	now := time.Now()
	views := map[string]pagetest.View{"light": {Width: 1280, Height: 900}, "dark": {Width: 1280, Height: 900, Dark: true}, "phone": {Width: 360, Height: 780, Phone: true}}
	only := os.Getenv("FIREBREAK_PAGE_ONLY")
	for name, sc := range map[string]scene{
		"healthy":    {began: now},
		"dead":       {began: now, sick: "error", since: now.Add(-195 * time.Second)},
		"recovering": {began: now, sick: "error", since: now.Add(-300 * time.Second), heals: now.Add(-20 * time.Second)},
		"trouble":    trouble(now),
		"many":       many(now),
	} {
		for view, v := range views {
			if shot := name + "-" + view; strings.Contains(shot, only) {
				tab, _ := open(t, b, sc, v)
				time.Sleep(2 * time.Second) // for what moves
				tab.Screenshot(filepath.Join(dir, shot+".png"))
				calm(t, tab)
			}
		}
	}
}

// Whatever others have written reaches the page as text.
func testHostileNames(t *testing.T, b *pagetest.Browser) {
	const evil = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`
	tab, _ := open(t, b, scene{began: time.Now(), extra: func(s obj) {
		for _, k := range []string{"version", "host", "config", "degraded"} {
			s[k] = evil
		}
		s["warnings"], s["reload"] = []string{evil}, obj{"at": evil, "ok": false, "error": evil, "changes": []string{evil}}
		s["orphans"] = []obj{{"name": evil, "command": evil}}
		for _, what := range []string{"inputs", "routes", "destinations"} {
			o := s[what].([]obj)[0]
			o["name"], o["type"], o["problem"], o["error"], o["hint"], o["fallback"], o["moving"] = evil, evil, evil, evil, evil, evil, evil
			o["dead_letters_kept"], o["dead_letters_reasons"], o["shed"], o["listen"] = 3, obj{evil: 3}, obj{evil: 1}, []string{evil}
			o["breaker"] = "open"
		}
		s["routes"].([]obj)[1]["to"] = []string{evil, "__proto__", "archive"}
		s["routes"].([]obj)[2]["name"] = "__proto__"
		s["routes"].([]obj)[3]["name"] = "constructor"
	}}, desk)
	has(t, tab, "#sentence", `<img src=x onerror=`)
	for _, click := range []string{"view-table", "view-flow"} {
		if err := tab.Eval(fmt.Sprintf("byId(%q).click()", click), nil); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := tab.Eval(`window.hacked + " " + document.querySelectorAll("main img, main script").length`, &got); err != nil || got != "undefined 0" {
			t.Errorf("hacked, and foreign elements: %s (%v)", got, err)
		}
	}
	if err := tab.Eval(`document.body.innerHTML = "<b>x</b>"`, nil); err == nil {
		t.Error("the policy lets HTML be assigned")
	}
	tab.Problems() // of that attempt
}

// The numbers on the page are those of the status.
func testShowsTheStatus(t *testing.T, b *pagetest.Browser) {
	tab, _ := open(t, b, trouble(time.Now()), desk)
	has(t, tab, "#sentence", "error has not delivered for 3 min: connection refused.", "wait in its buffer; nothing is lost.")
	has(t, tab, "#details", "is the aggregator up", "serverz", "old-archive is not configured any more, but 700 MiB", "firebreak buffer replay old-archive --to archive",
		"exceeds the free space", "audit keeps its events only in memory", "archive does not balance", "12 dead letters of audit are kept (rejected, too_large)", "The last reload")
	has(t, tab, "#d-error", "breaker open", "next try in", "moving to archive (breaker)", "moved", "balanced")
	has(t, tab, "#d-audit", "12 dead letters kept (7.9 KiB)", "rejected9", "firebreak buffer dump audit --dead", "firebreak buffer replay audit", "read-only file system", "balanced")
	has(t, tab, "#d-archive", "1 event too many", "at most 4.0 MiB/s, at its limit", "4,711shed")
	has(t, tab, "#kpis", "4,711 shed · 12 dead letters kept")
	calm(t, tab)
}

// While the router is away the page says so, and goes on when it is back; a start anew makes no negative rates.
func testAwayAndBack(t *testing.T, b *pagetest.Browser) {
	began := time.Now()
	tab, r := open(t, b, scene{began: began}, desk)
	has(t, tab, "#sentence", "All 4 destinations deliver.")
	calm(t, tab)
	r.Away(true)
	tab.Wait(`byId("sentence").textContent.includes("has not answered since")`, 10*time.Second)
	has(t, tab, "#live-text", "not reachable since")
	r.Away(false)
	fresh := scene{began: time.Now(), extra: func(s obj) {
		s["started"] = time.Now()
		for _, in := range s["inputs"].([]obj) {
			in["received"] = 5
		}
	}}
	r.Set(fresh.status, fresh.history)
	tab.Wait(`byId("sentence").textContent === "All 4 destinations deliver."`, 10*time.Second)
	var rates []float64
	if err := tab.Eval(`[...document.querySelectorAll(".rate")].map((e) => parseFloat(e.textContent) || 0)`, &rates); err != nil || len(rates) == 0 {
		t.Fatalf("rates %v: %v", rates, err)
	}
	for _, rate := range rates {
		if rate < 0 {
			t.Errorf("a negative rate: %v", rates)
		}
	}
	tab.Problems() // the failed requests of the time in between
}

// On a narrow phone nothing is wider than the screen.
func testFitsAPhone(t *testing.T, b *pagetest.Browser) {
	tab, _ := open(t, b, trouble(time.Now()), pagetest.View{Width: 360, Height: 780, Phone: true, Still: true})
	var width int
	if err := tab.Eval("document.documentElement.scrollWidth", &width); err != nil || width > 360 {
		t.Errorf("the page is %d pixels wide on a screen of 360 (%v)", width, err)
	}
	calm(t, tab)
}

// All text has the contrast of WCAG AA against what is behind it: 4.5, or 3 when it is large.
func testContrast(t *testing.T, b *pagetest.Browser) {
	const measure = `(() => {
		const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
		const rgba = (c) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
		const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((a, v, i) => a + v * [0.2126, 0.7152, 0.0722][i], 0);
		const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } return [255, 255, 255, 255]; };
		const poor = [];
		let n = 0;
		document.querySelectorAll("details").forEach((d) => { d.open = true; });
		for (const e of document.querySelectorAll("body *")) {
			if (![...e.childNodes].some((c) => c.nodeType === 3 && c.data.trim()) || !e.getClientRects().length || ["SCRIPT", "STYLE", "OPTION"].includes(e.tagName) || e.closest(".hidden, .skip")) continue;
			const style = getComputedStyle(e), fg = rgba(e.namespaceURI.includes("svg") ? style.fill : style.color), bg = behind(e);
			const [a, b] = [light(fg), light(bg)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05), size = parseFloat(style.fontSize);
			n++;
			if (ratio < (size >= 24 || (size >= 18.7 && style.fontWeight >= 700) ? 3 : 4.5)) poor.push(ratio.toFixed(2) + " " + e.tagName + "." + e.getAttribute("class") + " " + e.textContent.slice(0, 40));
		}
		return n > 100 ? [...new Set(poor)] : ["only " + n + " texts"];
	})()`
	for _, dark := range []bool{false, true} {
		v := desk
		v.Dark = dark
		tab, _ := open(t, b, trouble(time.Now()), v)
		var poor []string
		if err := tab.Eval(measure, &poor); err != nil {
			t.Fatal(err)
		}
		for _, p := range poor {
			t.Errorf("dark %v: %s", dark, p)
		}
		tab.Close()
	}
}

// What a mouse does, keys do too, and it is said aloud.
func testKeyboard(t *testing.T, b *pagetest.Browser) {
	tab, _ := open(t, b, trouble(time.Now()), desk)
	for _, expression := range []string{
		`(() => { const p = parts.hour.rates.box; p.focus(); p.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" })); const said = p.getAttribute("aria-valuetext"); p.dispatchEvent(new KeyboardEvent("keydown", { key: "Home" })); return document.activeElement === p && /^\d\d:\d\d:\d\d: .*access [\d,]+\/s/.test(said) && p.getAttribute("aria-valuenow") === "0" && !parts.hour.rates.read.hidden })()`,
		`[...document.querySelectorAll("button, input:not([hidden]), select, a")].every((e) => e.tabIndex >= 0 && (e.textContent.trim() || e.getAttribute("aria-label") || e.closest("label") || e.hidden))`,
		`[...document.querySelectorAll("table")].every((e) => e.caption && e.querySelector("thead th[scope=col]"))`,
		`document.querySelectorAll("h1").length === 1 && document.querySelector("main") && document.documentElement.lang === "en"`,
		`byId("announce").textContent === byId("sentence").textContent || byId("announce").textContent.startsWith("error has not delivered")`,
		`(() => { const b = byId("theme"), said = []; for (let i = 0; i < 3; i++) { b.click(); said.push(b.getAttribute("aria-label") + document.documentElement.dataset.theme); } return said.join() === "Theme: lightlight,Theme: darkdark,Theme: autoundefined" })()`,
		`(() => { byId("view-table").click(); const ok = byId("picture").hidden && !byId("tables").hidden && document.querySelectorAll("#tables tbody tr").length > 10; byId("view-flow").click(); return ok && byId("tables").hidden })()`,
		`(async () => { const at = () => [...document.querySelectorAll(".dots")].map((e) => e.getAttribute("stroke-dashoffset")).join(), before = at(); await new Promise((r) => setTimeout(r, 300)); return at() === before })()`, // the reader wants no motion
	} {
		var ok bool
		if err := tab.Eval(expression, &ok); err != nil || !ok {
			t.Errorf("not true: %s (%v)", expression, err)
		}
	}
	calm(t, tab)
	tab.Close()
}

// Prices can be changed, kept, carried elsewhere, and set back; a bad file changes nothing.
func testPrices(t *testing.T, b *pagetest.Browser) {
	tab, _ := open(t, b, scene{began: time.Now()}, desk)
	const setup = `
		globalThis.type_ = (name, v) => { const i = document.querySelector("#cost input[name=" + name + "]"); i.value = v; i.dispatchEvent(new Event("change")); };
		globalThis.cell_ = (n) => document.querySelector("#cost tfoot tr").children[n].textContent;
		globalThis.give_ = async (content) => { const d = new DataTransfer(); d.items.add(new File([content], "p.json")); parts.costs.file.files = d.files; parts.costs.file.dispatchEvent(new Event("change")); await new Promise((r) => setTimeout(r, 200)); return parts.costs.said.textContent; };
		globalThis.dollars_ = (n) => Number(cell_(n).replace(/[$,]/g, ""));
		localStorage.clear(); void 0`
	if err := tab.Eval(setup, nil); err != nil {
		t.Fatal(err)
	}
	for _, expression := range []string{
		`(() => { const before = dollars_(3); type_("cw_ingest", "5"); return dollars_(3) > 8 * before && document.querySelector("#cost").textContent.includes("Your own prices.") && JSON.parse(localStorage["firebreak.cost"]).prices.regions["us-east-1"].cw_ingest === 5 })()`,
		`(() => { const before = cell_(3); type_("cw_ingest", "-3"); type_("cw_ingest", ""); return cell_(3) === before })()`,
		`(() => { const before = dollars_(8); type_("hosts", "100"); return Math.abs(dollars_(8) / before - 100) < 1 })()`,
		`(() => { const s = document.querySelector("#price-region"); s.value = "eu-central-1"; s.dispatchEvent(new Event("change")); return document.querySelector("#cost input[name=cw_ingest]").value === "0.63" && document.querySelector("#cost").textContent.includes("(unsure)") })()`,
		`(async () => { const kept = JSON.stringify(parts.costs.p.export()); const said = [await give_("no json"), await give_('{"prices":{"regions":{"x":{}}}}'), await give_("[]")]; return said[0].includes("no JSON") && said[1].includes("Nothing imported") && said[2].includes("Nothing imported") && JSON.stringify(parts.costs.p.export()) === kept })()`,
		`(async () => { const file = JSON.stringify(parts.costs.p.export()); parts.costs.p.reset(true); const said = await give_(file); return said === "Imported p.json." && parts.costs.p.region === "eu-central-1" && parts.costs.p.options.hosts === 100 && parts.costs.p.edited })()`,
		`(() => { parts.costs.export(); return true })()`,
		`(() => { [...document.querySelectorAll("#cost button")].find((b) => b.textContent === "Reset").click(); return !("firebreak.cost" in localStorage) && document.querySelector("#cost input[name=cw_ingest]").value === "0.5" })()`,
	} {
		var ok bool
		if err := tab.Eval(expression, &ok); err != nil || !ok {
			t.Errorf("not true: %s (%v)", expression, err)
		}
	}
	calm(t, tab)
	tab.Close()
}

// Nothing of the picture leaves its frame, also while a destination gets many times what comes in.
func testRibbons(t *testing.T, b *pagetest.Browser) {
	for _, v := range []pagetest.View{desk, {Width: 360, Height: 780, Phone: true, Still: true}} {
		now := time.Now()
		for name, sc := range map[string]scene{"many": many(now), "trouble": trouble(now), "catches up": {began: now, sick: "error", since: now.Add(-time.Hour), heals: now.Add(-time.Second), extra: func(s obj) {
			d := s["destinations"].([]obj)[1]
			d["buffered"] = uint64(5e7) - uint64(time.Since(now).Seconds()*200000)
			d["delivered"] = d["offered"].(uint64) - d["buffered"].(uint64)
		}}} {
			tab, _ := open(t, b, sc, v)
			var wrong []string
			err := tab.Eval(`(() => {
				const box = document.querySelector(".stage").getBoundingClientRect(), out = [];
				for (const e of document.querySelectorAll(".ribbons path, .node")) {
					const r = e.getBoundingClientRect();
					if (r.width && (r.top < box.top - 3 || r.bottom > box.bottom + 3 || r.left < box.left - 3 || r.right > box.right + 3)) out.push(e.tagName + " " + e.getAttribute("class") + ": " + [r.left, r.top, r.right, r.bottom].map(Math.round) + " in " + [box.left, box.top, box.right, box.bottom].map(Math.round));
				}
				return document.querySelectorAll(".ribbons path").length > 10 ? out : ["no ribbons"];
			})()`, &wrong)
			if err != nil || len(wrong) > 0 {
				t.Errorf("%s, %d wide: %q (%v)", name, v.Width, wrong, err)
			}
			tab.Close()
		}
	}
}
