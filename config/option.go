package config

import "strings"

// Text returns the doc with the bounds behind it.
func (o Option) Text() string {
	text := o.Doc
	switch {
	case o.Min != "" && o.Max != "":
		text += " " + o.Min + " to " + o.Max + "."
	case o.Min != "":
		text += " At least " + o.Min + "."
	case o.Max != "":
		text += " At most " + o.Max + "."
	}
	if o.Template {
		text += " A template: names of the event such as ${tag} work in it."
	}
	return strings.TrimSpace(text)
}
