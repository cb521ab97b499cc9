package record

// A Template renders names such as keys and paths from an event.
type Template struct{ source string }
