package agent

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/firebreak/firebreak/bench/sink"
	"github.com/firebreak/firebreak/config"
)

// No secret shows, wherever it comes from and whatever fails with it.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	s, err := sink.Start(sink.Config{SharedKey: "another key", Hostname: "sink"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("FILE-s3cret-7c1d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"IN_KEY": "ENV-s3cret-91ab", "USER_PASSWORD": "USER-s3cret-52ee"}
	lookup := config.Lookup{LookupEnv: func(n string) (string, bool) { v, ok := env[n]; return v, ok }, ReadFile: os.ReadFile}
	yaml := fmt.Sprintf(`
data_dir: %q
admin: 127.0.0.1:0
shutdown: { quiet: 10ms, deadline: 5s }
inputs:
  app:
    type: forward
    listen: "tcp://127.0.0.1:0"
    shared_key: "${env:IN_KEY}"
    users: [{ username: u, password: "${env:USER_PASSWORD}" }]
  open: { type: forward, listen: "tcp://127.0.0.1:0" }
routes: [{ name: all, to: [plain, files] }]
outputs:
  plain: { type: forward, servers: [%q], shared_key: PLAIN-s3cret-0f2c, username: u, password: WORD-s3cret-aa01 }
  files: { type: forward, servers: [%q], shared_key: "${file:%s}" }
`, filepath.Join(dir, "data"), s.Addr(), s.Addr(), file)
	leaks := regexp.MustCompile(`[A-Z]*-s3cret-[0-9a-f]*`)
	clean := func(what, text string) {
		t.Helper()
		if m := leaks.FindString(text); m != "" {
			t.Errorf("%s shows %s:\n%s", what, m, text)
		}
	}
	loaded := func(yaml string) (*config.Config, error) {
		return config.Load("test.yaml", []byte(yaml), Kinds(), lookup)
	}
	cfg, err := loaded(yaml)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		clean("printing the options with "+verb, fmt.Sprintf(verb, cfg.Inputs[0].Options)+fmt.Sprintf(verb, cfg.Outputs[0].Options))
	}
	r := build(t, cfg).run()

	// Peers that don't know the key, that know another one, and that send garbage.
	conn, err := net.Dial("tcp", r.addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadByte(); err != nil { // HELO
		t.Fatal(err)
	}
	fmt.Fprint(conn, "\x96\xa4PING\xa1h\xa4salt\xa3bad\xa1u\xa3bad")
	conn.Close()
	send(t, strings.TrimPrefix(r.Listening()[1], "tcp://"), 300, 0)
	eventually(t, func() string {
		st := r.page()
		if st.Inputs[0].Errors["handshake"] == 0 || st.dest("plain").Error == "" || st.dest("files").Error == "" {
			return fmt.Sprintf("not everything has failed yet: %+v", st)
		}
		return ""
	})
	for _, path := range []string{"/", "/status", "/metrics", "/health/live", "/health/ready", "/health/destinations/plain", "/health/destinations/files"} {
		_, text := r.get(path)
		clean(path, text)
	}
	r.end()
	clean("the log", r.log.String())

	// Mistakes beside and inside the secrets.
	for _, wrong := range []string{
		strings.Replace(yaml, "shared_key: PLAIN", "shared_kee: PLAIN", 1),
		strings.Replace(yaml, "username: u, password: WORD", "password: WORD", 1),
		strings.Replace(yaml, "admin: 127.0.0.1:0", `admin: "${env:IN_KEY}"`, 1),
		strings.Replace(yaml, "quiet: 10ms", `quiet: "${env:USER_PASSWORD}"`, 1),
		strings.Replace(yaml, "type: forward, servers", `type: "${file:`+file+`}", servers`, 1),
		strings.Replace(yaml, "to: [plain, files]", `to: ["${env:IN_KEY}"]`, 1),
		strings.Replace(yaml, "listen: \"tcp://127.0.0.1:0\"", `listen: "tcp://${env:IN_KEY}:0:0"`, 1),
		strings.Replace(yaml, "servers: [", `servers: ["${env:IN_KEY}:x", `, 1),
	} {
		_, err := loaded(wrong)
		if err == nil {
			t.Errorf("no error for\n%s", wrong)
			continue
		}
		clean("an error", err.Error())
	}
}
