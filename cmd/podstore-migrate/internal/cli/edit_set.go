package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"podstore/store"
	"podstore/store/jsonvalue"
	"podstore/store/podjson"
)

// set changes single fields. If others change the Pod meanwhile, it starts again with the
// Pod as it is then.
func (e *editing) set(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		text, err := patched(e.base, e.opts.set)
		if err != nil {
			return e.misuse("%w", err)
		}
		m, refused := e.parse(text, "")
		if refused != nil {
			refused.Line, refused.Column = 0, 0 // the operator never saw this document
			e.refuse(refused)
			return nil
		}
		err = e.write(ctx, m)
		switch {
		case !errors.Is(err, errMoved):
			return err
		case e.opts.revision != "" || attempt == 100:
			e.conflict(errors.New("it was changed meanwhile; nothing was written; run the same command again"), "")
			return nil
		}
		if err := e.read(ctx); err != nil {
			return err
		}
	}
}

// patched returns a Pod's document with fields set.
func patched(m *store.Metadata, sets []string) ([]byte, error) {
	m = m.Clone()
	extra := m.Extra
	m.Extra = nil
	known := map[string]string{} // the new values, by name in the document
	for _, s := range sets {
		field, value, _ := strings.Cut(s, "=")
		if long := fieldNames[field]; long != "" {
			field = long
		}
		if _, err := jsonvalue.Canonical([]byte(value), store.MaxValueDepth); err != nil {
			return nil, fmt.Errorf("--set %q: its value is not JSON (%s); put text in double quotes", s, reason(err))
		}
		known[field] = value
	}
	var doc bytes.Buffer
	doc.Write(jsonvalue.AppendString([]byte(`{"pod_name":`), m.PodName))
	add := func(field string, value []byte) {
		doc.Write(append(jsonvalue.AppendString([]byte(","), field), ':'))
		doc.Write(value)
	}
	whole := podjson.Append(nil, m)
	for _, field := range []string{"active", "spawned_children", "reclaimed_children", "peers", "resolved_manifest_snapshot"} {
		value, there := topField(whole, field)
		if set, ok := known[field]; ok {
			value, there = []byte(set), strings.TrimSpace(set) != "null"
			delete(known, field)
		}
		if there {
			add(field, value)
		}
	}
	for _, field := range sortedKeys(extra) {
		if _, ok := known[field]; !ok {
			add(field, extra[field])
		}
	}
	for _, field := range sortedKeys(known) {
		if strings.TrimSpace(known[field]) != "null" {
			add(field, []byte(known[field]))
		}
	}
	doc.WriteByte('}')
	return doc.Bytes(), nil
}
