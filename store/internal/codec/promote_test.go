package codec

import "testing"

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
