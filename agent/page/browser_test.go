package page

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/firebreak/firebreak/agent/page/pagetest"
)

// open opens the page of a router that shows the scene.
func open(t *testing.T, b *pagetest.Browser, sc scene, v pagetest.View) (*pagetest.Tab, *pagetest.Router) {
	t.Helper()
	r := &pagetest.Router{Page: Handler()}
	r.Set(sc.status, sc.history)
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	tab := b.Open(srv.URL+"/", v)
	tab.Wait(`document.querySelector("#kpis b") && document.querySelector("#kpis b").textContent !== "–"`, 10*time.Second)
	return tab, r
}

func calm(t *testing.T, tab *pagetest.Tab) {
	t.Helper()
	for _, p := range tab.Problems() {
		t.Errorf("the console says: %s", p)
	}
}

// FIREBREAK_PAGE_SHOTS=DIR writes pictures of all scenes there.
func TestPictures(t *testing.T) {
	dir := os.Getenv("FIREBREAK_PAGE_SHOTS")
	if dir == "" {
		t.Skip("FIREBREAK_PAGE_SHOTS names no directory for the pictures")
	}
	b := pagetest.Start(t)
	now := time.Now()
	views := map[string]pagetest.View{"light": {Width: 1280, Height: 900}, "dark": {Width: 1280, Height: 900, Dark: true}, "phone": {Width: 390, Height: 844, Phone: true}}
	for name, sc := range map[string]scene{
		"healthy":    {began: now},
		"dead":       {began: now, sick: "error", since: now.Add(-195 * time.Second)},
		"recovering": {began: now, sick: "error", since: now.Add(-300 * time.Second), heals: now.Add(-20 * time.Second)},
	} {
		for view, v := range views {
			tab, _ := open(t, b, sc, v)
			time.Sleep(2 * time.Second)
			tab.Screenshot(filepath.Join(dir, name+"-"+view+".png"))
			calm(t, tab)
		}
	}
}
