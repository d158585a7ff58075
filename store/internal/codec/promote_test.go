package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"podstore/store"
)

func TestPromotes(t *testing.T) {
	for object, want := range map[string]bool{
		`{"a":1}`:                        false,
		`{"a":"the peers"}`:              false,
		`{"a":"the peers","peers":[]}`:   true,
		`{"xactive":"active\"","b":[]}`:  false,
		`{"spawned_children":[]}`:        true,
		`{"a":{"reclaimed_children":1}}`: true, // it may: to look closer tells
	} {
		if got := Promotes([]byte(object)); got != want {
			t.Errorf("%s: %v", object, got)
		}
	}
}

// What an older version kept among the unknown fields becomes the field, unless the field
// is stored as itself. What cannot be read stays, with an error that names it.
func TestPromote(t *testing.T) {
	const peers = `[{"pod_name":"b"}]`
	payload := func(fields map[string]json.RawMessage) []byte {
		return bytes.Clone(NewEncoder().Encode(&store.Metadata{Extra: fields}, Extra))
	}
	none := func(int) bool { return false }
	old := payload(map[string]json.RawMessage{"peers": json.RawMessage(peers), "later": json.RawMessage(`1`)})

	m := &store.Metadata{}
	set, err := DecodeExtra(m, old, none)
	if err != nil || set != store.Fields(store.FieldExtra)|store.Fields(store.Field(Peers)) || !m.HasPeer("b") || len(m.Extra) != 1 {
		t.Errorf("DecodeExtra: %+v, fields %b, %v", m, set, err)
	}
	m = &store.Metadata{}
	if err := decodeOne(m, Extra, old); err != nil || !m.HasPeer("b") || len(m.Extra) != 1 {
		t.Errorf("Decode: %+v, %v", m, err)
	}
	m = &store.Metadata{Peers: []store.Peer{{PodName: "stored"}}}
	if set, err := DecodeExtra(m, old, func(sub int) bool { return sub == Peers }); err != nil || set != store.Fields(store.FieldExtra) || !m.HasPeer("stored") || m.HasPeer("b") {
		t.Errorf("beside the field itself: %+v, fields %b, %v", m, set, err)
	}
	m = &store.Metadata{}
	if _, err := DecodeExtra(m, payload(map[string]json.RawMessage{"peers": json.RawMessage(peers)}), none); err != nil || m.Extra != nil {
		t.Errorf("nothing else is left: %+v, %v", m, err)
	}
	m = &store.Metadata{}
	_, err = DecodeExtra(m, payload(map[string]json.RawMessage{"peers": json.RawMessage(`"b"`)}), none)
	if err == nil || !strings.Contains(err.Error(), `a field "peers" that this version cannot read`) || errors.Is(err, store.ErrInvalid) || m.Extra["peers"] == nil {
		t.Errorf("a bad one: %+v, %v", m, err)
	}
	if _, err := DecodeExtra(m, []byte{0xc0}, none); !errors.Is(err, errShape) {
		t.Errorf("no object: %v", err)
	}
}
