package codec

import (
	"bytes"
	"fmt"
	"slices"

	"podstore/store"
	"podstore/store/jsonvalue"
	"podstore/store/podjson"
)

// A field that an older version did not know stands among the unknown fields. A
// version that knows it promotes it when it reads the Pod, and no longer writes it
// there.

// Promotes reports whether the msgpack of the unknown fields may have one that this
// version knows.
func Promotes(payload []byte) bool {
	for _, name := range store.FieldNames() {
		if i := bytes.Index(payload, []byte(name)); i > 0 && payload[i-1] == '"' {
			return true
		}
	}
	return false
}

// promote moves the fields that this version knows out of m.Extra, and returns which
// they are. Where the field is stored as itself, as has tells, that counts.
func promote(m *store.Metadata, has func(sub int) bool) (promoted store.FieldSet, err error) {
	document := []byte(`{"pod_name":""`)
	for name, value := range m.Extra {
		if slices.Contains(store.FieldNames(), name) {
			document = append(jsonvalue.AppendString(append(document, ','), name), ':')
			document = append(document, value...)
			delete(m.Extra, name)
			promoted |= store.Fields(store.FieldExtra)
		}
	}
	if len(m.Extra) == 0 {
		m.Extra = nil
	}
	if promoted == 0 {
		return 0, nil
	}
	found, err := podjson.Decode(append(document, '}'))
	if err != nil {
		return 0, fmt.Errorf("an older version stored among the unknown fields what is none of this one: %w", err)
	}
	e := NewEncoder()
	for f := range store.Field(store.NumFields) {
		if payload := e.Encode(found, int(f)); payload != nil && !has(int(f)) {
			if err := DecodeField(m, int(f), payload); err != nil {
				return 0, err
			}
			promoted |= store.Fields(f)
		}
	}
	return promoted, nil
}

// DecodeExtra reads the msgpack of the unknown fields into m, promotes those that
// this version knows, and returns which fields of m are set by that.
func DecodeExtra(m *store.Metadata, payload []byte, has func(sub int) bool) (store.FieldSet, error) {
	if err := DecodeField(m, Extra, payload); err != nil {
		return 0, err
	}
	promoted, err := promote(m, has)
	return promoted | store.Fields(store.FieldExtra), err
}
