package main

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/firebreak/firebreak/agent"
	"github.com/firebreak/firebreak/internal/table"
)

// Most columns that the time, the tag, and where an event goes, take from the text.
const (
	maxTimeWidth = 19
	maxTagWidth  = 24
	maxWayWidth  = 32
)

// A tapView writes events for people, one line each. What events say never reaches the terminal unescaped.
type tapView struct {
	out   io.Writer
	style table.Style
	size  func() int // width of the terminal; 0: lines aren't cut
	zone  *time.Location

	at, tag, way int // widths so far
}

func (v *tapView) show(e agent.EventLine, now time.Time) error {
	_, err := io.WriteString(v.out, v.line(e, now)+"\n")
	return err
}

func (v *tapView) line(e agent.EventLine, now time.Time) string {
	at := v.cell(eventTime(e.Time.In(v.zone), now), &v.at, maxTimeWidth)
	tag := v.cell(e.Tag, &v.tag, maxTagWidth)
	way := v.cell(wayOf(e), &v.way, maxWayWidth)
	text := table.Clean(textOf(e))
	if width := v.size(); width > 0 {
		text = table.Clip(text, max(width-table.Width(at+tag+way)-6, 10))
	}
	return v.style.Paint(table.Dim, at) + "  " + v.style.Paint(table.Cyan, tag) + "  " + v.style.Paint(table.Dim, way) + "  " + text
}

// cell fills a text up to the widest so far, so that lines stay below each other.
func (v *tapView) cell(text string, widest *int, limit int) string {
	text = table.Clean(text)
	if v.size() > 0 {
		text = table.Clip(text, limit)
	}
	*widest = min(max(*widest, table.Width(text)), limit)
	return text + strings.Repeat(" ", max(0, *widest-table.Width(text)))
}

// eventTime leaves out the date of what happens now, and a fraction that isn't known.
func eventTime(at, now time.Time) string {
	if d := now.Sub(at); d > 12*time.Hour || d < -12*time.Hour {
		return at.Format("2006-01-02 15:04:05")
	}
	if at.Nanosecond() == 0 {
		return at.Format("15:04:05")
	}
	return at.Format("15:04:05.000")
}

func wayOf(e agent.EventLine) string {
	if e.Input != "" {
		return "from " + e.Input
	}
	return e.Route + "→" + e.Destination
}

// textOf returns what the event says: the text that applications log, else the record.
func textOf(e agent.EventLine) string {
	var record map[string]json.RawMessage
	if json.Unmarshal(e.Record, &record) == nil {
		for _, key := range []string{"log", "message"} {
			var text string
			if json.Unmarshal(record[key], &text) == nil && text != "" {
				return strings.TrimRight(text, "\r\n")
			}
		}
	}
	return string(e.Record)
}
