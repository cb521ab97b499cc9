//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/agent/page/pagetest"
	"github.com/firebreak/firebreak/bench/load"
	"github.com/firebreak/firebreak/bench/sink"
)

// Three types that are told apart by their text, each to an aggregator of its own.
const forThePage = `
inputs:
  docker: { type: forward, listen: "tcp://127.0.0.1:%s" }
routes:
  - { name: access, match: { line: '"(GET|POST|PUT) ' }, to: [access] }
  - { name: audit, match: { line: '"type":"audit"' }, to: [audit] }
  - { name: error, to: [error] }
outputs:
  access: { type: forward, servers: [%q] }
  audit: { type: forward, servers: [%q] }
  error: { type: forward, servers: [%q], retry: { max: 2s } }
`

// What a person sees in a real browser: three aggregators, one of them dies and comes back. FIREBREAK_PAGE_SHOTS=DIR
// keeps the pictures; with FIREBREAK_SOAK there is some history in them.
func TestStatusPage(t *testing.T) {
	b := pagetest.Start(t)
	shots := os.Getenv("FIREBREAK_PAGE_SHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	access, audit, fail := startSink(t, sink.Config{}, sink.OK), startSink(t, sink.Config{}, sink.OK), startSink(t, sink.Config{}, sink.OK)
	port := freePort(t)
	r := startRouter(t, t.TempDir(), fmt.Sprintf(forThePage, port, access.Addr(), audit.Addr(), fail.Addr()))
	_, finish := runLoad(t, load.Config{Addr: "127.0.0.1:" + port, Conns: 5, Rate: 3000, Ack: true,
		Kinds: []load.Kind{load.Access, load.Access, load.Audit, load.Access, load.Error}})

	views := map[string]pagetest.View{"light": {Width: 1280, Height: 860}, "dark": {Width: 1280, Height: 860, Dark: true}, "phone": {Width: 390, Height: 844, Phone: true}}
	url := "http://" + r.admin + "/"
	tab := b.Open(t, url, pagetest.View{Width: 1000, Height: 800, Still: true}) // open all the time
	// says waits until the page says so, there and to everybody who opens it now, and keeps pictures.
	says := func(state, expression string) {
		t.Helper()
		tab.Wait(expression, 20*time.Second)
		agrees(t, tab)
		t.Logf("%s: %s", state, tab.Text("#sentence"))
		for name, v := range views {
			other := b.Open(t, url, v)
			other.Wait(`document.querySelector("#kpis b") && document.querySelector("#kpis b").textContent !== "–"`, 10*time.Second)
			agrees(t, other)
			other.Screenshot(filepath.Join(shots, state+"-"+name+".png"))
			quiet(t, other)
			other.Close()
		}
		quiet(t, tab)
	}
	const sentence = `document.getElementById("sentence").textContent`
	says("healthy", sentence+` === "All 3 destinations deliver." && app.rates.of("d", "error", "delivered") > 0`)

	time.Sleep(long(0, 20*time.Minute))
	set(t, fail, sink.Refuse)
	eventually(t, 30*time.Second, func() string {
		if d := r.status().dest("error"); d.Breaker != "open" || d.Buffered < 2000 {
			return fmt.Sprintf("%+v", d)
		}
		return ""
	})
	time.Sleep(long(0, 3*time.Minute))
	says("dead", sentence+`.startsWith("error has not delivered for ") && `+sentence+`.includes("connection refused") && `+sentence+
		`.includes("nothing is lost; the others are not affected.") && document.querySelector(".node.dest[data-level=bad] .name").textContent === "error"`)
	if got := tab.Text("#destinations article:first-child h3"); got != "error" {
		t.Errorf("the first destination is %q, want the one that is dead", got)
	}

	// What waits for less is no backlog worth a word.
	tab.Wait(`Date.parse(app.status.now) - Date.parse(app.status.destinations.find((d) => d.name === "error").oldest) > 18000`, 40*time.Second)
	if err := fail.Set(sink.Fault{Mode: sink.ReadSlow, Bytes: 400_000}); err != nil { // so that the recovery can be seen
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() string {
		if d := r.status().dest("error"); d.Breaker == "open" {
			return fmt.Sprintf("%+v", d)
		}
		return ""
	})
	says("recovering", sentence+`.startsWith("error catches up: ") && `+sentence+`.includes("nothing is lost")`)

	set(t, fail, sink.OK)
	finish()
	eventually(t, 20*time.Second, func() string {
		for _, d := range r.status().Destinations {
			if d.Buffered > 0 {
				return fmt.Sprintf("%+v", d)
			}
		}
		return ""
	})
	want := r.status()
	if err := tab.Eval(`document.getElementById("view-table").click()`, nil); err != nil {
		t.Fatal(err)
	}
	for _, d := range want.Destinations {
		row := fmt.Sprintf(`[...document.querySelectorAll("#tables tr")].filter((tr) => tr.children[0].textContent === %q && tr.children.length === 8).map((tr) => [...tr.children].map((c) => c.textContent).join("|")).join()`, d.Name)
		expect := strings.Join([]string{d.Name, commas(d.Offered), commas(d.Delivered), "0", "0", "0", "0", "balanced"}, "|")
		tab.Wait(row+" === "+strconv.Quote(expect), 10*time.Second)
	}
	quiet(t, tab)
	r.stop(30 * time.Second)
	tab.Wait(sentence+`.includes("has not answered since")`, 20*time.Second)
	r.calm()
}

// quiet fails the test if the console has an error, a warning, or a violation of the policy.
func quiet(t *testing.T, tab *pagetest.Tab) {
	t.Helper()
	for _, p := range tab.Problems() {
		t.Errorf("the console says: %s", p)
	}
}

// agrees fails the test if numbers on the page differ from those of the status that it shows.
func agrees(t *testing.T, tab *pagetest.Tab) {
	t.Helper()
	var wrong []string
	err := tab.Eval(`(() => {
		const wrong = [], squeeze = (s) => s.replace(/\s+/g, "");
		for (const d of app.status.destinations) {
			const card = document.getElementById("d-" + d.name), said = squeeze(card.textContent), l = ledgerOf(d);
			for (const want of [fmtExact(l.offered) + "offered", fmtExact(l.delivered) + "delivered", fmtExact(l.buffered) + "buffered", "breaker" + d.breaker, "balanced"])
				if (!said.includes(want)) wrong.push(d.name + ": no " + want + " in " + said);
		}
		for (const i of app.status.inputs) {
			const said = squeeze(document.getElementById("inputs").textContent);
			for (const want of [fmtExact(i.received) + "received", fmtExact(i.routed) + "routed", "balanced"])
				if (!said.includes(want)) wrong.push(i.name + ": no " + want + " in " + said);
		}
		return wrong;
	})()`, &wrong)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

// commas writes a number as the page does.
func commas(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
