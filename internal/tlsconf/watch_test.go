package tlsconf

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestALoadThatFailsIsTriedAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cert")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	var fail error
	loads, reports := 0, 0
	w := newWatched(func(error) { reports++ }, func() (*tls.Config, error) {
		loads++
		b, err := os.ReadFile(file)
		if fail != nil {
			return nil, fail
		}
		return &tls.Config{ServerName: string(b)}, err
	}, file)
	get := func(want string, wantLoads, wantReports int) {
		t.Helper()
		conf, err := w.get()
		if err != nil || conf.ServerName != want || loads != wantLoads || reports != wantReports {
			t.Fatalf("%+v, %v after %d loads and %d reports; want %q, %d, %d", conf, err, loads, reports, want, wantLoads, wantReports)
		}
	}
	get("old", 1, 0)
	get("old", 1, 0)
	write("renewed")
	fail = errors.New("too many open files")
	get("old", 2, 1)
	get("old", 3, 1) // said once
	fail = nil
	get("renewed", 4, 1)
	get("renewed", 4, 1)
}
