package router

import (
	"fmt"
	"testing"
	"time"

	"github.com/firebreak/firebreak/config"
	"github.com/firebreak/firebreak/record"
)

// manyRoutes holds conditions that no event of the benchmarks fulfils, so that all of them are tried.
var manyRoutes = map[string]func(i int) *config.Match{
	"tag":       func(i int) *config.Match { return when("tag", "", glob(fmt.Sprintf("svc-%d.*", i))) },
	"container": func(i int) *config.Match { return when("container", "", glob(fmt.Sprintf("svc-%d-*", i))) },
	"line":      func(i int) *config.Match { return lineIs(fmt.Sprintf(`svc-%d: \w+ failed`, i)) },
	"json":      func(i int) *config.Match { return when("json", fmt.Sprintf("field%d", i), glob("x")) },
	"record":    func(i int) *config.Match { return when("record", fmt.Sprintf("com.example.field%d", i), glob("x")) },
}

func routerOfMany(tb testing.TB, kind string, n int) *Router {
	var routes []config.Route
	for i := range n {
		routes = append(routes, config.Route{Name: fmt.Sprintf("r%d", i), Match: manyRoutes[kind](i), To: []string{"a"}})
	}
	return benchRouter(tb, nil, append(routes, config.Route{Name: "rest", To: []string{"c"}})...)
}

func TestTheCostOfRoutesGrowsNoFasterThanTheirNumber(t *testing.T) {
	for kind := range manyRoutes {
		cost := func(n int) time.Duration {
			in := routerOfMany(t, kind, n).Intake("in")
			chunks := []record.Chunk{dockerChunk(jsonLine)}
			best := time.Hour
			for range 5 {
				start := time.Now()
				if err := in.Accept(t.Context(), chunks); err != nil {
					t.Fatal(err)
				}
				best = min(best, time.Since(start))
			}
			return best
		}
		few, many := max(cost(100), 10*time.Microsecond), cost(1500)
		if many > 50*few {
			t.Errorf("%s: %d events cost %v with 100 routes, and %v with 1500", kind, eventsPerChunk, few, many)
		}
	}
}

func BenchmarkManyRoutes(b *testing.B) {
	for kind := range manyRoutes {
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				in := routerOfMany(b, kind, n).Intake("in")
				chunks := []record.Chunk{dockerChunk(jsonLine)}
				b.ReportAllocs()
				for b.Loop() {
					if err := in.Accept(b.Context(), chunks); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/eventsPerChunk, "ns/event")
			})
		}
	}
}
