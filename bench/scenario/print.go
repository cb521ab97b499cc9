package scenario

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Print writes reports as tables: cases with the same measures share one.
func Print(w io.Writer, reports []*Report) error {
	for _, r := range reports {
		for _, t := range tables(r.Rows) {
			if err := t.print(w, r.Scenario); err != nil {
				return err
			}
		}
	}
	for _, r := range reports {
		for _, p := range r.Problems {
			fmt.Fprintf(w, "PROBLEM %s: %s\n", r.Scenario, p)
		}
		if len(r.Problems) == 0 {
			fmt.Fprintf(w, "ok %s (%.0f s)\n", r.Scenario, r.Seconds)
		}
	}
	return nil
}

type table struct {
	measures []string // with units
	cases    []string
	values   [][]string // [case][measure]
}

// tables groups rows by case, and cases by their measures.
func tables(rows []Row) (out []*table) {
	var names []string
	byCase := map[string][]Row{}
	for _, r := range rows {
		if byCase[r.Case] == nil {
			names = append(names, r.Case)
		}
		byCase[r.Case] = append(byCase[r.Case], r)
	}
	for _, name := range names {
		var measures, values []string
		for _, r := range byCase[name] {
			m := r.Measure
			if r.Unit != "" {
				m += " [" + r.Unit + "]"
			}
			measures, values = append(measures, m), append(values, group(r.Value))
		}
		i := slices.IndexFunc(out, func(t *table) bool { return slices.Equal(t.measures, measures) })
		if i < 0 {
			i = len(out)
			out = append(out, &table{measures: measures})
		}
		out[i].cases = append(out[i].cases, name)
		out[i].values = append(out[i].values, values)
	}
	return out
}

// print writes the table with the shorter side across.
func (t *table) print(w io.Writer, title string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(first string, rest []string) { fmt.Fprintf(tw, "%s\t%s\t\n", first, strings.Join(rest, "\t")) }
	if len(t.cases) < len(t.measures) {
		line(title, t.cases)
		for i, m := range t.measures {
			var row []string
			for _, v := range t.values {
				row = append(row, v[i])
			}
			line(m, row)
		}
	} else {
		line(title, t.measures)
		for i, c := range t.cases {
			line(c, t.values[i])
		}
	}
	fmt.Fprintln(tw)
	return tw.Flush()
}

// group writes 1234567 as 1,234,567, and small numbers with a fraction.
func group(v float64) string {
	prec := 0
	if math.Abs(v) < 100 && v != math.Trunc(v) {
		prec = 2
	}
	s := strconv.FormatFloat(v, 'f', prec, 64)
	whole, rest, _ := strings.Cut(s, ".")
	sign := strings.HasPrefix(whole, "-")
	whole = strings.TrimPrefix(whole, "-")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if sign {
		whole = "-" + whole
	}
	if rest != "" {
		whole += "." + rest
	}
	return whole
}
