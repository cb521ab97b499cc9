package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "17": 17, "64MiB": 64 << 20, "1GiB": 1 << 30, "500KB": 500_000, "1.5GiB": 3 << 29, "2Mi": 2 << 20,
		"64mib": 64 << 20, "10 MB": 10_000_000, "1TiB": 1 << 40, "3B": 3,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "64M", "1e3", "0x10", "1.2.3", "-1", "9999999999TiB", "NaN", "1MiBs", "64 MiB extra"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]Rate{"10MiB/s": 10 << 20, "10MiB": 10 << 20, "1.5MB/s": 1_500_000, "1000000": 1_000_000, "10 MiB/s": 10 << 20} {
		if got, err := parseRate(text); err != nil || got != want {
			t.Errorf("parseRate(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/s", "0", "0B/s", "10MiB/min", "10MiB/s/s", "10Mbps", "off"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("parseRate(%q) = %d, want an error", text, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "5s": 5 * time.Second, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour,
		"1d12h": 36 * time.Hour, "0.5d": 12 * time.Hour, "250ms": 250 * time.Millisecond,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "s", "-1s", "d", "1d-2h", "99999d", "1w", "1d1d", "1e9h", "300000h300000d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func TestPercentOf(t *testing.T) {
	p, err := parsePercent("12.5%")
	if err != nil || p != 12.5 || p.Of(80) != 10 {
		t.Errorf("12.5%% = %v, %v; of 80: %d", p, err, p.Of(80))
	}
}

func TestNearestName(t *testing.T) {
	known := []string{"max_bytes", "max_age", "on_full", "sync", "type"}
	for name, want := range map[string]string{
		"max_byte": "max_bytes", "maxBytes": "max_bytes", "max-age": "max_age", "snyc": "sync", "typ": "type",
		"colour": "", "": "", "limit": "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	long := strings.Repeat("x", 1000)
	if d := distance(long, long+"y"); d > 1 {
		t.Errorf("distance of long names = %d", d)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		text        string
		plain, line bool
		want        Pattern
	}{
		{"api-*", true, false, Pattern{Kind: Glob, Text: "api-*"}},
		{"500", true, false, Pattern{Kind: Glob, Text: "500"}},
		{"true", true, false, Pattern{Kind: Present, Text: "true"}},
		{"false", true, true, Pattern{Kind: Absent, Text: "false"}},
		{"true", false, false, Pattern{Kind: Glob, Text: "true"}},
		{">= 500", false, false, Pattern{Kind: Compare, Text: ">= 500", Op: ">=", Number: 500}},
		{"!=-1.5", false, false, Pattern{Kind: Compare, Text: "!=-1.5", Op: "!=", Number: -1.5}},
		{"<1e3", false, false, Pattern{Kind: Compare, Text: "<1e3", Op: "<", Number: 1000}},
		{"== 0", false, false, Pattern{Kind: Compare, Text: "== 0", Op: "=="}},
		{"<html*", false, false, Pattern{Kind: Glob, Text: "<html*"}},
		{"/", false, false, Pattern{Kind: Glob, Text: "/"}},
		{"", false, false, Pattern{Kind: Glob}},
	} {
		got, err := parsePattern(c.text, c.plain, c.line)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("parsePattern(%q) = %+v, %v, want %+v", c.text, got, err, c.want)
		}
	}
	for text, line := range map[string]bool{"/^a.c$/": false, "^a.c$": true} {
		got, err := parsePattern(text, false, line)
		if err != nil || got.Kind != Regex || !got.Regexp.MatchString("abc") || got.Regexp.MatchString("abcd") {
			t.Errorf("parsePattern(%q) = %+v, %v", text, got, err)
		}
	}
}
