package config

// A Problem is one thing that is wrong or odd in a configuration.
type Problem struct {
	File    string
	Pos     Pos    // zero when it has no place
	Message string // lower case, says what is wrong
	Hint    string // what to write instead; may be empty
}

// A Checker is options that check themselves after they were decoded, beyond what their tags say.
type Checker interface {
	// Check reports problems through r, without network or slow work.
	Check(r *Report)
}

// A Report takes the problems of one struct of options.
type Report struct{ add func(key, message, hint string) }

// Problem reports a problem at the value of key ("a.b" inside nested options, "servers[1]" inside lists; "" for the
// struct itself).
func (r *Report) Problem(key, message, hint string) { r.add(key, message, hint) }

// A Kind declares a type of input or output: the value of its `type` key and its options.
type Kind struct {
	Name    string
	Summary string
	Options func() any // a new pointer to the options struct, without defaults applied
}

// Kinds are all types that a configuration may name.
type Kinds struct{ Inputs, Outputs []Kind }
