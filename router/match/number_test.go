package match

import (
	"math"
	"testing"

	"github.com/firebreak/firebreak/config"
)

// written is a comparison as the configuration gives it: the number as a float64, and as text.
func written(op, number string) config.Pattern {
	n, _ := parseNumber([]byte(number))
	return config.Pattern{Kind: config.Compare, Text: op + " " + number, Op: op, Number: n.value()}
}

func TestWholeNumbersCompareExactly(t *testing.T) {
	r := rec{
		{"id", 9007199254740993}, {"neg", math.MinInt64}, {"max", uint64(math.MaxUint64)}, {"text", "9007199254740993"}, {"nan", math.NaN()}, {"inf", math.Inf(1)},
		{"whole", 9007199254740992.0}, {"zero", math.Copysign(0, -1)}, {"part", 0.5},
		{"log", `{"id":9007199254740993,"max":18446744073709551615,"huge":18446744073709551616,"neg":-9223372036854775808}`},
	}
	for _, c := range []struct {
		path string
		p    config.Pattern
		want bool
	}{
		{"id", written("==", "9007199254740993"), true},
		{"id", written("==", "9007199254740992"), false},
		{"id", written(">", "9007199254740992"), true},
		{"id", written("<=", "9007199254740992"), false},
		{"text", written("==", "9007199254740992"), false},
		{"text", written("!=", "9007199254740992"), true},
		{"neg", written("==", "-9223372036854775808"), true},
		{"neg", written("<", "-9223372036854775807"), true},
		{"max", written("==", "18446744073709551615"), true},
		{"max", written("<", "18446744073709551615"), false},
		{"max", written(">", "-18446744073709551615"), true},
		{"huge", written(">", "18446744073709551615"), false}, // beyond 64 bits they are as exact as a float64
		{"huge", written(">", "18446744073709500000"), true},
		{"whole", written("<", "9007199254740993"), true},
		{"zero", written("==", "0"), true},
		{"zero", written("<", "0"), false},
		{"part", written(">", "0"), true},
		{"part", written("<", "1"), true},
		{"inf", written(">", "1e300"), true},
		{"nan", written("!=", "1"), false},
		{"nan", written("<", "1"), false},
	} {
		for _, field := range []string{"record", "json"} {
			if field == "json" && (c.path != "id" && c.path != "max" && c.path != "neg") || field == "record" && c.path == "huge" {
				continue
			}
			if got := holds(t, all(when(field, c.path, c.p)), "x", nil, r); got != c.want {
				t.Errorf("%s %s %s = %v, want %v", field, c.path, c.p.Text, got, c.want)
			}
		}
	}
}

func TestANumberEqualsItsOtherSpellings(t *testing.T) {
	r := rec{{"n", 500.0}, {"i", 7}, {"text", "500.0"}, {"log", `{"n":500.0,"e":5e2,"i":7,"text":"500.0","half":0.5}`}}
	for _, c := range []struct {
		path, glob string
		want       bool
	}{
		{"n", "500", true}, {"n", "500.00", true}, {"n", "5e2", true}, {"n", "501", false}, {"i", "7", true}, {"i", "7.0", true},
		{"i", "007", false}, {"i", "+7", false}, // text, not numbers
		{"text", "500", false}, {"text", "500.0", true}, // a version 1.10 is not 1.1
	} {
		for _, field := range []string{"record", "json"} {
			if got := holds(t, all(when(field, c.path, glb(c.glob))), "x", nil, r); got != c.want {
				t.Errorf("%s %s: %s = %v, want %v", field, c.path, c.glob, got, c.want)
			}
		}
	}
	if !holds(t, all(when("json", "e", glb("500"))), "x", nil, r) || !holds(t, all(when("json", "half", glb("0.50"))), "x", nil, r) {
		t.Error("5e2 is not 500, or 0.5 not 0.50")
	}
}
