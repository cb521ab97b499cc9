package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// A schema is a JSON schema, or a part of one.
type schema = map[string]any

// Schema returns the JSON schema (draft 2020-12) of a configuration with these kinds, for editors. It is made from the
// same declarations as the parser: what the parser accepts is valid, and an unknown key, a value of another form or a
// name that isn't in a list is not. It knows nothing of what needs more than one value: names of outputs, orders of
// routes, bounds of sizes as text.
func Schema(kinds Kinds) ([]byte, error) {
	defs := schema{"match": matchSchema(), "pattern": patternSchema(), "path": pathSchema()}
	if err := addProcessors(defs); err != nil {
		return nil, err
	}
	defs["route"] = routeSchema()
	if err := addKinds(defs, "inputs", kinds.Inputs, nil); err != nil {
		return nil, err
	}
	shared := fieldsOf(reflect.TypeFor[Output]())
	for i := range shared {
		s, err := fieldSchema(&shared[i])
		if err != nil {
			return nil, err
		}
		defs["outputs."+shared[i].key] = s
	}
	if err := addKinds(defs, "outputs", kinds.Outputs, shared); err != nil {
		return nil, err
	}
	root, err := objectSchema(reflect.TypeFor[Config]())
	if err != nil {
		return nil, err
	}
	properties := root["properties"].(schema)
	properties["inputs"] = named("What to listen to or read: a name of your choice, and a type with its options.", "inputs")
	properties["outputs"] = named("Destinations: a name of your choice, and a type with its options. Each has a buffer of its own.", "outputs")
	properties["processors"] = schema{
		"description": "What changes or drops events before the routes, in order.",
		"type":        []string{"array", "null"}, "items": ref("processor"),
	}
	properties["routes"] = schema{
		"description": "Which events go where: the first route that matches takes the event. May be left out with a single output.",
		"type":        []string{"array", "null"}, "minItems": 1, "items": ref("route"),
	}
	properties["line_key"] = nullable(text("Record key that holds the text of an event, when that is neither log nor message."))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Firebreak"
	root["description"] = "Configuration of the log router Firebreak."
	root["required"] = []string{"inputs", "outputs"}
	root["patternProperties"] = schema{"^x-": true}
	root["$defs"] = defs
	b, err := json.MarshalIndent(root, "", "  ")
	return append(b, '\n'), err
}

func ref(name string) schema { return schema{"$ref": "#/$defs/" + name} }

// named is a mapping from names to entries of a section.
func named(description, section string) schema {
	return schema{
		"description": description, "type": "object", "minProperties": 1,
		"propertyNames": schema{"pattern": name64.String()}, "additionalProperties": ref(section),
	}
}

// addKinds adds the entry of a section, whose type says which options it has, and the options of each type: those that
// all share are defined by the section's name and theirs.
func addKinds(defs schema, section string, kinds []Kind, shared []field) error {
	var names []string
	var choices []schema
	for _, k := range kinds {
		s, err := objectSchema(reflect.TypeOf(k.Options()).Elem())
		if err != nil {
			return fmt.Errorf("make the schema of %s of the type %s: %w", section, k.Name, err)
		}
		properties := s["properties"].(schema)
		for _, f := range shared {
			properties[f.key] = ref(section + "." + f.key)
		}
		properties["type"] = true
		required, _ := s["required"].([]string)
		s["required"] = append([]string{"type"}, required...)
		s["type"], s["description"] = "object", k.Summary
		defs[section+"."+k.Name] = s
		names = append(names, k.Name)
		choices = append(choices, schema{
			"if":   schema{"properties": schema{"type": schema{"const": k.Name}}, "required": []string{"type"}},
			"then": ref(section + "." + k.Name),
		})
	}
	entry := schema{
		"type": "object", "required": []string{"type"},
		"properties": schema{"type": choice("Type, which says what options there are.", names)},
	}
	if len(choices) > 0 {
		entry["allOf"] = choices
	}
	defs[section] = entry
	return nil
}

// objectSchema describes a mapping that is decoded into a struct.
func objectSchema(t reflect.Type) (schema, error) {
	properties, required := schema{}, []string(nil)
	for _, f := range fieldsOf(t) {
		s, err := fieldSchema(&f)
		if err != nil {
			return nil, err
		}
		properties[f.key] = s
		if f.required {
			required = append(required, f.key)
		}
	}
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		slices.Sort(required)
		s["required"] = required
	}
	return s, nil
}
