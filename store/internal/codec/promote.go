package codec

import (
	"bytes"
	"errors"
	"fmt"

	"podstore/store"
	"podstore/store/jsonvalue"
	"podstore/store/podjson"
)

// An older version keeps a field that it does not know among the unknown fields. A
// version that knows the field promotes it: it takes the field out of the unknown ones
// when it reads the Pod, and writes it as itself.

// Promotes reports whether the msgpack of the unknown fields may have one that this
// version knows.
func Promotes(payload []byte) bool {
	for _, name := range quotedNames {
		if bytes.Contains(payload, name) {
			return true
		}
	}
	return false
}

// quotedNames are the names of known fields as canonical JSON has them.
var quotedNames = func() (names [][]byte) {
	for _, name := range store.FieldNames() {
		names = append(names, jsonvalue.AppendString(nil, name))
	}
	return names
}()

// promote moves the fields that this version knows out of m.Extra and returns them. If
// has reports that a field is also stored as itself, the stored one counts. An error
// names the field and leaves it where it is.
func promote(m *store.Metadata, has func(sub int) bool) (promoted store.FieldSet, err error) {
	e := NewEncoder()
	for _, name := range store.FieldNames() {
		value, ok := m.Extra[name]
		if !ok {
			continue
		}
		document := jsonvalue.AppendString([]byte(`{"pod_name":"",`), name)
		document = append(append(append(document, ':'), value...), '}')
		found, err := podjson.Decode(document)
		var bad *store.Error
		if errors.As(err, &bad) {
			err = errors.New(bad.Reason()) // the stored field is bad, not the caller's input
		}
		if err != nil {
			return 0, fmt.Errorf("an older version stored a field %q that this version cannot read: %w", name, err)
		}
		delete(m.Extra, name)
		promoted |= store.Fields(store.FieldExtra)
		for f := range store.Field(store.NumFields) {
			if payload := e.Encode(found, int(f)); payload != nil && !has(int(f)) {
				if err := DecodeField(m, int(f), payload); err != nil {
					return 0, err
				}
				promoted |= store.Fields(f)
			}
		}
	}
	if len(m.Extra) == 0 {
		m.Extra = nil
	}
	return promoted, nil
}

// DecodeExtra reads the msgpack of the unknown fields into m, promotes those that this
// version knows, and returns the fields of m that this sets.
func DecodeExtra(m *store.Metadata, payload []byte, has func(sub int) bool) (store.FieldSet, error) {
	if err := DecodeField(m, Extra, payload); err != nil {
		return 0, err
	}
	promoted, err := promote(m, has)
	return promoted | store.Fields(store.FieldExtra), err
}
