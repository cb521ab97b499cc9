package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// wrong says what is wrong with a value, and what to write instead.
type wrong struct{ message, hint string }

var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40,
}

// parseSize reads 64MiB, 500KB, 1.5GiB or a plain number of bytes.
func parseSize(s string) (Size, *wrong) {
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit, known := sizeUnits[strings.ToLower(s[len(number):])]
	v, err := parseDecimal(strings.TrimSpace(number))
	switch {
	case err == nil && !known && len(s)-len(number) == 1:
		u := strings.ToUpper(s[len(number):])
		return 0, &wrong{"", "write " + number + u + "iB (1024) or " + number + u + "B (1000)"}
	case err != nil || !known:
		return 0, &wrong{}
	case v < 0:
		return 0, &wrong{"is less than zero", ""}
	case v*unit > math.MaxInt64/2:
		return 0, &wrong{"is too large", ""}
	}
	return Size(math.Round(v * unit)), nil
}

// parseRate reads a size with or without /s behind it.
func parseRate(s string) (Rate, *wrong) {
	n, w := parseSize(strings.TrimSuffix(s, "/s"))
	if w == nil && n == 0 {
		w = &wrong{"is nothing", "leave it out to have no bound"}
	}
	return Rate(n), w
}

const durationHint = "write a number and a unit without a space: 500ms, 30s, 5m, 12h or 7d"

// parseDuration reads what Go's time package does, and days as 7d. Zero needs no unit.
func parseDuration(s string) (time.Duration, *wrong) {
	rest, days := s, 0.0
	if number, after, ok := strings.Cut(s, "d"); ok {
		v, err := parseDecimal(number)
		if err != nil || v < 0 || v > 36500 {
			return 0, &wrong{"", durationHint}
		}
		if rest, days = after, v; rest == "" {
			rest = "0"
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		if _, err := parseDecimal(s); err == nil {
			return 0, &wrong{"", "add a unit: " + s + "s, " + s + "m or " + s + "h"}
		}
		return 0, &wrong{"", durationHint}
	}
	if d < 0 {
		return 0, &wrong{"is less than zero", ""}
	}
	total := days*24*float64(time.Hour) + float64(d)
	if total > math.MaxInt64/2 {
		return 0, &wrong{"is too large", ""}
	}
	return time.Duration(days*24*float64(time.Hour)) + d, nil
}

func parsePercent(s string) (Percent, *wrong) {
	number, ok := strings.CutSuffix(s, "%")
	v, err := parseDecimal(number)
	switch {
	case err != nil:
		return 0, &wrong{}
	case !ok:
		return 0, &wrong{"", "add the sign: " + s + "%"}
	case v < 0 || v > 100:
		return 0, &wrong{"is not between 0% and 100%", ""}
	}
	return Percent(v), nil
}

var errNotDecimal = errors.New("not a decimal number")

// parseDecimal reads a number without exponent, hexadecimal digits, infinity and the like.
func parseDecimal(s string) (float64, error) {
	if s == "" || strings.Trim(s, "+-.0123456789") != "" {
		return 0, errNotDecimal
	}
	return strconv.ParseFloat(s, 64)
}

// setScalar sets v, of a type that isScalar, from its text.
func setScalar(v reflect.Value, text string) *wrong {
	switch v.Interface().(type) {
	case Size:
		x, err := parseSize(text)
		v.SetInt(int64(x))
		return err
	case time.Duration:
		x, err := parseDuration(text)
		v.SetInt(int64(x))
		return err
	case Rate:
		x, err := parseRate(text)
		v.SetInt(int64(x))
		return err
	case Percent:
		x, err := parsePercent(text)
		v.SetFloat(float64(x))
		return err
	}
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		x, ok := parseBool(text)
		if !ok {
			return &wrong{}
		}
		v.SetBool(x)
	case v.CanInt():
		x, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return numberError(err)
		}
		v.SetInt(x)
	case v.CanUint():
		x, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return numberError(err)
		}
		v.SetUint(x)
	case v.CanFloat():
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return &wrong{}
		}
		v.SetFloat(x)
	}
	return nil
}

func numberError(err error) *wrong {
	if errors.Is(err, strconv.ErrRange) {
		return &wrong{"is too large", ""}
	}
	return &wrong{}
}

func parseBool(s string) (value, ok bool) {
	switch s {
	case "true", "True", "TRUE":
		return true, true
	case "false", "False", "FALSE":
		return false, true
	}
	return false, false
}

func boolHint(s string) string {
	switch strings.ToLower(s) {
	case "yes", "on", "1", "enabled":
		return "write true"
	case "no", "off", "0", "disabled":
		return "write false"
	}
	return ""
}

func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return true
	}
	return false
}

// typeName says what a type of option is written like.
func typeName(t reflect.Type) (name, example string) {
	switch t {
	case reflect.TypeFor[Size]():
		return "a size", "64MiB"
	case reflect.TypeFor[time.Duration]():
		return "a duration", "30s"
	case reflect.TypeFor[Rate]():
		return "a rate", "10MiB/s"
	case reflect.TypeFor[Percent]():
		return "a percentage", "10%"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false", ""
	case reflect.String:
		return "text", ""
	case reflect.Float32, reflect.Float64:
		return "a number", "0.5"
	case reflect.Slice:
		return "a list", ""
	case reflect.Map, reflect.Struct:
		return "a mapping", "{ key: value }"
	case reflect.Pointer:
		return typeName(t.Elem())
	}
	return "a whole number", "4"
}

// exampleOf shows the first option that has an example.
func exampleOf(values []reflect.Value) string {
	for _, v := range values {
		for _, f := range fieldsOf(v.Type()) {
			_, example := typeName(f.typ)
			if f.def != "" {
				example = f.def
			}
			if example != "" && isScalar(f.typ) && f.typ.Kind() != reflect.Bool {
				return fmt.Sprintf("{ %s: %s }", f.key, example)
			}
		}
	}
	return "{ key: value }"
}
