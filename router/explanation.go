package router

import (
	"time"

	"github.com/firebreak/firebreak/record"
)

// An Explanation says what Accept does with one event, and why.
type Explanation struct {
	Tag    string    `json:"tag"`
	Time   time.Time `json:"time"`
	Record []byte    `json:"-"` // msgpack, as the input gave it

	Processors []Effect   `json:"processors"` // those before the routes, up to the one that drops the event
	Routes     []Verdict  `json:"routes"`     // all, in order; none when a processor drops the event
	Fate       string     `json:"fate"`       // routed, or why not
	Type       string     `json:"type"`       // name of the first route that matches; "": none
	Deliveries []Delivery `json:"deliveries"` // in the order of the routes
}

// An Effect says what a processor does.
type Effect struct {
	Name    string `json:"name"`
	Matched bool   `json:"matched"`
	Why     string `json:"why,omitempty"`     // the condition doesn't hold
	Because string `json:"because,omitempty"` // it holds; "" without a condition
	Effect  string `json:"effect,omitempty"`  // of a processor that matched: same, changed, truncated, redacted, dropped or too_large
	Note    string `json:"note,omitempty"`    // what a processor with a memory or with chance would count

	Before []byte `json:"-"` // the record in msgpack, when the effect is changed, truncated or redacted
	After  []byte `json:"-"`
}

// A Verdict says whether a route takes an event.
type Verdict struct {
	Name       string   `json:"name"`
	Matched    bool     `json:"matched"`
	Skipped    bool     `json:"skipped,omitempty"` // not asked, as a route before it ended the search
	Why        string   `json:"why,omitempty"`     // it doesn't match
	Because    string   `json:"because,omitempty"` // it matches; "" without a condition
	Continue   bool     `json:"continue"`
	Discard    bool     `json:"discard"`
	To         []string `json:"to"`
	Served     []string `json:"served,omitempty"`     // those of To that a route before it serves; they get the event once
	Processors []Effect `json:"processors,omitempty"` // of a route that matched
}

// A Delivery is an event as one destination gets it.
type Delivery struct {
	Destination string       `json:"destination"`
	Route       string       `json:"route"`                 // the event's type
	Event       record.Chunk `json:"-"`                     // of one event, its Route set
	DeadLetter  string       `json:"dead_letter,omitempty"` // when it goes straight to the dead letters: the reason
}
