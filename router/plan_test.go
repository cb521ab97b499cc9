package router

import (
	"fmt"
	"testing"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

// TestRandomTagsStayBounded sends tags that fulfil the conditions in thousands of combinations, so that each
// combination has a plan of its own.
func TestRandomTagsStayBounded(t *testing.T) {
	for name, match := range map[string]func(i int) *config.Match{
		"light": func(i int) *config.Match { return when("tag", "", glob(fmt.Sprintf("*%x*", i))) },
		"heavy": func(i int) *config.Match {
			m := when("tag", "", glob(fmt.Sprintf("*%x*", i)))
			m.Any = []*config.Match{lineIs("x"), lineIs("y"), when("json", fmt.Sprintf("a%d", i), glob("x"))}
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			var routes []config.Route
			for i := range 16 {
				routes = append(routes, config.Route{Name: fmt.Sprint(i), Continue: true, Match: match(i), To: []string{"a"}})
			}
			r, _ := newRouter(t, nil, routes, "a")
			in := r.Intake("in")
			data := chunkOf("", line("z"))
			for i := range 3 * maxTags {
				data.Tag = fmt.Sprintf("%x", uint64(i)*0x9e3779b97f4a7c15)
				if err := in.Accept(t.Context(), []record.Chunk{data}); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(r.plans.young) + len(r.plans.old); n > maxTags {
				t.Errorf("%d tags are remembered", n)
			}
			nodes, plans := 0, map[*plan]bool{}
			for _, m := range []map[string]*plan{r.plans.young, r.plans.old, r.plans.byKnown} {
				for _, p := range m {
					plans[p] = true
				}
			}
			for p := range plans {
				nodes += len(p.routes)
				for _, rt := range p.routes {
					nodes += rt.cond.Nodes()
				}
			}
			if nodes > 2*maxWeight {
				t.Errorf("%d plans are remembered, with %d nodes in their conditions", len(plans), nodes)
			}
		})
	}
}
