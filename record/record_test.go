package record

import (
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/mp"
)

func rec(pairs ...string) []byte {
	b := mp.AppendMap(nil, len(pairs)/2)
	for _, s := range pairs {
		b = mp.AppendStr(b, s)
	}
	return b
}

func TestLookupFindsNestedAndDottedKeys(t *testing.T) {
	inner := rec("type", "inner", "x.y", "dotted")
	b := mp.AppendMap(nil, 4)
	b = mp.AppendStr(b, "log")
	b = mp.AppendStr(b, "first")
	b = append(mp.AppendStr(b, "com"), inner...)
	b = mp.AppendStr(mp.AppendStr(b, "com.example.type"), "label")
	b = mp.AppendStr(mp.AppendStr(b, "log"), "last")
	for path, want := range map[string]string{
		"log": "last", "com.type": "inner", "com.example.type": "label", "com.x.y": "dotted",
		"com.none": "", "lo": "", "logs": "", "log.x": "", "": "",
	} {
		got, _ := Text(ParsePath(path).Lookup(b))
		if string(got) != want {
			t.Errorf("Lookup(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestSliceCutsAtEventBounds(t *testing.T) {
	c := Chunk{Tag: "t"}
	at := time.Unix(1700000000, 42)
	for _, s := range []string{"a", "b", "c", "d"} {
		c.Data = AppendEntry(c.Data, at, rec("log", s))
		c.Events++
	}
	for from := 0; from < 4; from++ {
		for to := from + 1; to <= 4; to++ {
			part, err := c.Slice(from, to)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for it := Iterate(&part); it.Next(); {
				v, _ := Text(ParsePath("log").Lookup(it.Event().Record))
				got += string(v)
				if !it.Event().Time().Equal(at) {
					t.Errorf("time = %v", it.Event().Time())
				}
			}
			if got != "abcd"[from:to] || part.Events != to-from {
				t.Errorf("Slice(%d, %d) holds %q, %d events", from, to, got, part.Events)
			}
		}
	}
	if _, err := c.Slice(3, 5); err == nil {
		t.Error("Slice beyond the end gave no error")
	}
}
