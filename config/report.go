package config

// A Problem is one thing that is wrong or odd in a configuration.
type Problem struct {
	File    string
	Pos     Pos    // zero when it has no place
	Message string // lower case, says what is wrong
	Excerpt string // the line of the file and a caret under the column; "" without a place
	Hint    string // what to write instead; may be empty
}

// A Checker is options that check themselves after they were decoded, beyond what their tags say. It is called for
// the options of a kind and for every struct inside them, when nothing in it was wrong so far.
type Checker interface {
	// Check reports problems through r, without network or slow work.
	Check(r *Report)
}

// A Report takes the problems of one struct of options.
type Report struct {
	add func(key, message, hint string)
}

// NewReport returns a report that gives its problems to add, for tests of a Checker.
func NewReport(add func(key, message, hint string)) *Report { return &Report{add: add} }

// Problem reports a problem at the value of key ("a.b" inside nested options, "servers[1]" inside lists; "" for the
// struct itself).
func (r *Report) Problem(key, message, hint string) { r.add(key, message, hint) }

// A Kind declares a type of input or output: the value of its `type` key and its options.
type Kind struct {
	Name    string
	Summary string
	Options func() any // a new pointer to the options struct, without defaults applied

	// Supplies names what the events of an input carry beyond a tag and a record: "k8s", "ecs", or single attributes such
	// as "k8s.namespace". A condition on what no configured input supplies is an error.
	Supplies []string
}

// Kinds are all types that a configuration may name.
type Kinds struct {
	Inputs, Outputs []Kind

	// CheckTemplate, when set, says what is wrong with the text of an option tagged template:"true", or "".
	CheckTemplate func(text string) (message, hint string)
}
