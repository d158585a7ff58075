package jsonvalue

import (
	"bytes"
	"strings"
	"testing"
)

// A document that was made here is not made again, and nothing else is taken for
// it.
func TestKnown(t *testing.T) {
	doc := func(nesting int) []byte {
		return []byte(strings.Repeat("[", nesting) + `"` + strings.Repeat("a", knownSize) + `"` + strings.Repeat("]", nesting))
	}
	first, err := Canonical(doc(3), MaxDepth)
	if err != nil || !isKnown(first, MaxDepth) {
		t.Fatalf("%.20q, %v: expected to be known", first, err)
	}
	again, err := Canonical(first, MaxDepth)
	if err != nil || !bytes.Equal(again, first) {
		t.Fatalf("%.20q, %v", again, err)
	}
	again[4] = '\n'
	if first[4] == '\n' {
		t.Error("what was returned is not memory of its own")
	}
	if _, err := Canonical(again, MaxDepth); err == nil {
		t.Error("a known document that was changed is accepted")
	}
	if spaced, err := Canonical(append([]byte(" "), first...), MaxDepth); err != nil || !bytes.Equal(spaced, first) {
		t.Errorf("%.20q, %v", spaced, err)
	}
	if _, err := Canonical(first, 2); err == nil {
		t.Error("a known document is accepted where it is too deep")
	}
	deep, err := Canonical(doc(knownDepth+1), MaxDepth)
	if err != nil || isKnown(deep, MaxDepth) {
		t.Errorf("%v: a document of %d containers is known, which may be too many elsewhere", err, knownDepth+1)
	}
	if _, err := Canonical(deep, knownDepth); err == nil {
		t.Error("a document is accepted where it is too deep")
	}
	// What is kept as written is not canonical.
	written, err := AppendCompact(nil, []byte(`{"b":"`+strings.Repeat("a", knownSize)+`","a":1}`), MaxDepth)
	if err != nil || isKnown(written, MaxDepth) {
		t.Errorf("%v: known as canonical: %.20q", err, written)
	}
	// A part of a larger document is known too: a manifest is read as one.
	s := NewScanner([]byte(`{"manifest": ` + string(doc(1)) + `}`))
	s.EnterObject()
	s.NextKey()
	if part := s.AppendValue([]byte("before")); !isKnown(part[len("before"):], MaxDepth) {
		t.Error("a value within a document is not known")
	}
}
