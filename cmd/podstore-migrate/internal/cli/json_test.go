package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

const shapesDoc = "../../../../docs/cli-json.md"

// field is one row of the tables in docs/cli-json.md.
type field struct {
	path     string
	values   []string // JSON types
	optional bool
}

// shapes are the documented fields, by command and then by type of line.
type shapes map[string]map[string][]field

// readShapes reads the tables.
func readShapes(t testing.TB) shapes {
	doc, err := os.ReadFile(shapesDoc)
	if err != nil {
		t.Fatal(err)
	}
	all := make(shapes)
	command := ""
	for line := range strings.Lines(string(doc)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok {
			command = name
			all[command] = make(map[string][]field)
		}
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.Contains(cells[1], "`") {
			continue
		}
		kind := strings.Trim(cells[1], " `")
		value, optional := strings.CutSuffix(strings.TrimSpace(cells[3]), ", optional")
		all[command][kind] = append(all[command][kind], field{strings.Trim(cells[2], " `"), strings.Split(value, " or "), optional})
	}
	return all
}

// check judges one line of output.
func (s shapes) check(command string, line map[string]any) error {
	kind, _ := line["type"].(string)
	fields := slices.Concat([]field{{"podstore", []string{"number"}, false}, {"command", []string{"string"}, false}, {"type", []string{"string"}, false}},
		s["Every command"][kind], s[command][kind])
	if len(fields) == 3 || line["podstore"] != 1.0 || line["command"] != command {
		return fmt.Errorf("no such line is documented: %v", line)
	}
	return checkObject(fields, "", line)
}

// checkObject compares an object with the fields documented below a prefix.
func checkObject(fields []field, prefix string, object map[string]any) error {
	for _, f := range fields {
		name, ok := strings.CutPrefix(f.path, prefix)
		if !ok || strings.ContainsAny(name, ".[") {
			continue
		}
		value, ok := object[name]
		switch {
		case !ok && f.optional:
		case !ok:
			return fmt.Errorf("%s is missing in %v", f.path, object)
		case !slices.Contains(f.values, jsonType(value)) && f.values[0] != "any":
			return fmt.Errorf("%s is %v, want %v", f.path, value, f.values)
		}
	}
	for name, value := range object {
		path := prefix + name
		i := slices.IndexFunc(fields, func(f field) bool { return f.path == path })
		if i < 0 {
			return fmt.Errorf("%s is not documented", path)
		}
		if fields[i].values[0] == "any" {
			continue
		}
		inner := func(prefix string, value any) error {
			if o, ok := value.(map[string]any); ok {
				return checkObject(fields, prefix, o)
			}
			return nil
		}
		if err := inner(path+".", value); err != nil {
			return err
		}
		list, _ := value.([]any)
		for _, element := range list {
			if err := inner(path+"[].", element); err != nil {
				return err
			}
		}
	}
	return nil
}

func jsonType(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	case []any:
		return "array"
	}
	return "object"
}

// shape COMMAND: the standard output of the last program has the documented
// shape, and ends with the exit code that it had.
func (s shapes) shape(ts *testscript.TestScript, _ bool, args []string) {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	var last map[string]any
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		last = nil
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			ts.Fatalf("%q: %v", line, err)
		}
		ts.Check(s.check(command, last))
	}
	if last["type"] != "end" || fmt.Sprint(last["exit"]) != ts.Getenv("EXIT") {
		ts.Fatalf("the last line is %v, the exit code was %s", last, ts.Getenv("EXIT"))
	}
	if text := ts.ReadFile("stderr"); text != "" {
		ts.Fatalf("standard error has %q", text)
	}
}

// checkShapes judges all lines of output.
func checkShapes(t *testing.T, command, text string) {
	t.Helper()
	all := readShapes(t)
	for line := range strings.Lines(text) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if err := all.check(command, object); err != nil {
			t.Error(err)
		}
	}
}

// TestShapesAreDocumented compares the documented commands with those that are.
func TestShapesAreDocumented(t *testing.T) {
	all := readShapes(t)
	for _, cmd := range newRoot(newConsole(os.Stdout, os.Stderr)).Commands() {
		if cmd.Flags().Lookup("json") != nil && all[cmd.Name()] == nil {
			t.Errorf("%s is missing", strconv.Quote(cmd.Name()))
		}
	}
	// The test itself must see what is wrong.
	good := func() map[string]any {
		return map[string]any{"podstore": 1.0, "command": "list", "type": "pod", "pod": "a", "active": map[string]any{"session_id": "x", "segment_id": nil},
			"children": 0.0, "reclaimed": 0.0, "peers": 0.0, "manifest_bytes": nil, "revision": "0-0", "created": nil, "changed": nil}
	}
	if err := all.check("list", good()); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(map[string]any){
		"unknown":  func(m map[string]any) { m["extra"] = 1.0 },
		"missing":  func(m map[string]any) { delete(m, "pod") },
		"type":     func(m map[string]any) { m["children"] = "0" },
		"nested":   func(m map[string]any) { m["active"] = map[string]any{"session_id": "x"} },
		"version":  func(m map[string]any) { m["podstore"] = 2.0 },
		"command":  func(m map[string]any) { m["command"] = "tree" },
		"the kind": func(m map[string]any) { m["type"] = "thing" },
	} {
		m := good()
		spoil(m)
		if all.check("list", m) == nil {
			t.Errorf("%s: not noticed in %v", name, m)
		}
	}
}
