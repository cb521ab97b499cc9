package config

import (
	"fmt"
	"reflect"
)

// The parts of a configuration that tags don't declare: conditions, routes, and what stands around a processor.

func patternSchema() schema {
	return schema{
		"description": "A glob, a /regex/, a comparison such as \">= 500\", true (present) or false (absent); of a list one is enough.",
		"type":        []string{"string", "number", "boolean", "array"}, "minItems": 1, "maxItems": maxPatterns,
		"items": text(""),
	}
}

// pathSchema describes the condition on a key, or those on the keys in it.
func pathSchema() schema {
	s := patternSchema()
	s["type"] = append(s["type"].([]string), "object")
	s["minProperties"], s["additionalProperties"] = 1, ref("path")
	return s
}

func matchSchema() schema {
	field := func(description string) schema {
		s := ref("pattern")
		s["description"] = description
		return s
	}
	paths := func(description string) schema {
		return schema{"description": description, "type": "object", "minProperties": 1, "additionalProperties": ref("path")}
	}
	several := func(description string) schema {
		return schema{"description": description, "anyOf": []schema{ref("match"), {"type": "array", "minItems": 1, "items": ref("match")}}}
	}
	source := field("stdout or stderr.")
	source["examples"] = sources
	return schema{
		"description": "Conditions, all of which must hold.",
		"type":        "object", "minProperties": 1, "additionalProperties": false,
		"properties": schema{
			"tag":       field("The event's tag."),
			"container": field("Name of the container, without Docker's /."),
			"source":    source,
			"line":      field("The text of the event; the pattern is always a regex."),
			"json":      paths("Keys of a JSON object in the text of the event, and their patterns."),
			"record":    paths("Keys of the record, labels included, and their patterns."),
			"k8s":       paths("What the input knows about the Kubernetes pod: namespace, pod, container, label.NAME …"),
			"ecs":       paths("What the input knows about the ECS task: cluster, family, task_id …"),
			"any":       several("At least one of these conditions holds."),
			"not":       several("None of these conditions holds."),
			"line_key":  text("Record key that holds the text of the event for line and json, when that is neither log nor message."),
		},
	}
}

func orNull(s schema) schema { return schema{"anyOf": []schema{s, {"type": "null"}}} }

func routeSchema() schema {
	flag := func(description string) schema {
		return schema{"description": description, "type": []string{"boolean", "string", "null"}, "pattern": `^` + boolean + `$|` + anywhere}
	}
	name := text("Name of the route: the type of its events, for ${type}, counters and status.")
	name["pattern"] = routeName.String() + `|` + anywhere
	name["not"] = schema{"enum": reservedRoutes}
	match := orNull(ref("match"))
	match["description"] = "Conditions, all of which must hold; without them the route takes every event."
	return schema{
		"type": "object", "required": []string{"name"}, "additionalProperties": false,
		"anyOf": []schema{{"required": []string{"to"}}, {"required": []string{"discard"}}},
		"properties": schema{
			"name":  name,
			"match": match,
			"to": schema{
				"description": "Name of an output, or a list of them: each gets the event.",
				"type":        []string{"array", "string", "number", "boolean", "null"}, "minItems": 1, "uniqueItems": true, "items": text(""),
			},
			"discard":    flag("true instead of to: the event ends here, counted."),
			"continue":   flag("true: the routes behind this one look at the event, too."),
			"processors": schema{"description": "What changes or drops the events of this route only.", "type": []string{"array", "null"}, "items": ref("processor")},
		},
	}
}

// addProcessors adds each action, and the processor that holds exactly one of them.
func addProcessors(defs schema) error {
	name := nullable(text("Name for the counters; by default the action and its place in the list, such as drop-2."))
	name["pattern"] = name64.String() + `|` + anywhere
	match := orNull(ref("match"))
	match["description"] = "Conditions, all of which must hold; without them the processor sees every event."
	properties := schema{"name": name, "match": match}
	var one []schema
	for _, action := range actions {
		s, err := actionSchema(action)
		if err != nil {
			return err
		}
		defs["processor."+action] = s
		properties[action] = ref("processor." + action)
		one = append(one, schema{"required": []string{action}})
	}
	defs["processor"] = schema{"type": "object", "properties": properties, "additionalProperties": false, "oneOf": one}
	return nil
}

// actionSchema describes the value of an action by the field of the Processor that it sets.
func actionSchema(action string) (schema, error) {
	sf, ok := reflect.TypeFor[Processor]().FieldByNameFunc(func(name string) bool { return simplify(name) == simplify(action) })
	switch {
	case !ok:
		return nil, fmt.Errorf("make the schema of the action %s: no field of a processor is called so", action)
	case sf.Type == reflect.TypeFor[[]Field]():
		return schema{
			"type": "object", "minProperties": 1,
			"propertyNames": schema{"minLength": 1}, "additionalProperties": text(""),
		}, nil
	case sf.Type.Kind() == reflect.Bool:
		return schema{"const": true}, nil
	case sf.Type.Kind() != reflect.Pointer:
		return typeSchema(sf.Type, &field{required: true})
	}
	s, err := typeSchema(sf.Type.Elem(), &field{})
	if err != nil {
		return nil, fmt.Errorf("make the schema of the action %s: %w", action, err)
	}
	if s["required"] == nil {
		s = nullable(s)
	}
	if list, ok := s["properties"].(schema)[listForms[action]].(schema); ok {
		types, _ := s["type"].([]string)
		s["type"], s["items"], s["minItems"] = append(types, "array"), list["items"], 1
	}
	return s, nil
}

// listForms are the options that a list stands for, when it is the value of an action.
var listForms = map[string]string{"redact": "patterns"}
