package config

import (
	"fmt"
	"strings"
)

const maxListed = 12 // names in a hint

// Nearest returns the name that was probably meant, or "".
func Nearest(name string, known []string) string {
	best, bestDistance := "", 1000
	for _, k := range known {
		d := distance(simplify(name), simplify(k))
		if d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if bestDistance <= max(1, len(name)/3) {
		return best
	}
	return ""
}

// simplify makes maxBytes, max-bytes and max_bytes equal.
func simplify(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "").Replace(s))
}

// hintNames names the nearest of the known names, else all of them when they are few.
func hintNames(name, what string, known []string) string {
	near := Nearest(name, known)
	switch {
	case near != "" && len(known) <= maxListed:
		return fmt.Sprintf("did you mean %q? %s: %s", near, what, strings.Join(known, ", "))
	case near != "":
		return fmt.Sprintf("did you mean %q?", near)
	case len(known) > 0 && len(known) <= 2*maxListed:
		return what + ": " + strings.Join(known, ", ")
	}
	return ""
}

// distance counts insertions, deletions, replacements and swaps of neighbours that make a into b.
func distance(a, b string) int {
	const most = 64
	a, b = a[:min(len(a), most)], b[:min(len(b), most)]
	var rows [3][most + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
