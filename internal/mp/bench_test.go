package mp

import (
	"strings"
	"testing"
)

// docker is a record as Docker's fluentd driver sends it.
func docker() []byte {
	b := AppendMap(nil, 4)
	for _, s := range []string{
		"container_id", strings.Repeat("f", 64), "container_name", "/web1", "source", "stdout",
		"log", `10.0.0.1 - - [20/Nov/2026:05:43:17 +0000] "GET /index.html HTTP/1.1" 200 612 "-" "Mozilla/5.0 (X11; Linux x86_64)"`,
	} {
		b = AppendStr(b, s)
	}
	return b
}

// kubernetes is docker with an object inside, as metadata make it.
func kubernetes() []byte {
	b := docker()
	b[0]++
	b = AppendMap(AppendStr(b, "kubernetes"), 4)
	for _, s := range []string{"namespace", "default", "pod", "web-6b7f", "container", "web"} {
		b = AppendStr(b, s)
	}
	b = AppendMap(AppendStr(b, "labels"), 1)
	return AppendStr(AppendStr(b, "app"), "web")
}

func BenchmarkSkip(b *testing.B) {
	for _, c := range []struct {
		name  string
		value []byte
	}{
		{"int", AppendInt(nil, 1)},
		{"text", AppendStr(nil, strings.Repeat("x", 200))},
		{"docker", docker()},
		{"kubernetes", kubernetes()},
		{"deep", append(make([]byte, 0, MaxDepth), strings.Repeat("\x91", MaxDepth-1)+"\x01"...)},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Skip(c.value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
