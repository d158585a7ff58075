package jsonvalue

import "sync"

// Canonical returns the canonical form of the one value in src, in memory of its own.
// Whitespace may surround the value, which may nest at most maxDepth containers
// (never more than [MaxDepth]). An error is a [*SyntaxError].
func Canonical(src []byte, maxDepth int) ([]byte, error) {
	out, err := AppendCanonical(make([]byte, 0, len(src)), src, maxDepth)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// AppendCanonical is [Canonical] that appends to dst, which must not overlap
// src. On an error it returns dst as it was.
func AppendCanonical(dst, src []byte, maxDepth int) ([]byte, error) {
	return appendDocument(dst, src, maxDepth, false)
}

// AppendCompact accepts and refuses exactly what [AppendCanonical] does, but
// only removes whitespace: strings, numbers, the order of keys and duplicate
// keys stay as written.
func AppendCompact(dst, src []byte, maxDepth int) ([]byte, error) {
	return appendDocument(dst, src, maxDepth, true)
}

func appendDocument(dst, src []byte, maxDepth int, verbatim bool) ([]byte, error) {
	s := Scanner{src: src, limit: min(max(maxDepth, 0), MaxDepth)}
	out := s.appendOne(dst, verbatim)
	if err := s.End(); err != nil {
		return dst, err
	}
	return out, nil
}

// appendOne appends the next value of the document, canonical or as written.
// On an error it returns dst as it was.
func (s *Scanner) appendOne(dst []byte, verbatim bool) []byte {
	if s.err != nil {
		return dst
	}
	w := writers.Get().(*writer)
	w.Scanner, w.verbatim = *s, verbatim
	out, ok := w.value(dst)
	*s = w.Scanner
	w.release()
	if !ok {
		return dst
	}
	return out
}

// writer appends values as it scans them. It holds a copy of its caller's Scanner, not a
// pointer: a pointer would move that Scanner to the heap.
type writer struct {
	Scanner
	verbatim bool
	members  []member // of all open objects, outermost first
	sorted   []byte   // an object's members while they are put in order
}

var writers = sync.Pool{New: func() any { return new(writer) }}

// release puts the writer back into the pool, unless one large value has swollen it.
func (w *writer) release() {
	w.Scanner = Scanner{}
	w.members = w.members[:0]
	if cap(w.members) <= 4<<10 && cap(w.sorted) <= 64<<10 {
		writers.Put(w)
	}
}

// value appends the next value. On an error it returns false.
func (w *writer) value(dst []byte) ([]byte, bool) {
	if !w.skipSpace() {
		return dst, w.failEOF("a value")
	}
	switch w.src[w.pos] {
	case '{':
		return w.object(dst)
	case '[':
		return w.array(dst)
	case '"':
		dst, _, ok := w.string(dst)
		return dst, ok
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return w.number(dst)
	case 'n':
		return append(dst, "null"...), w.literal("null")
	case 't':
		return append(dst, "true"...), w.literal("true")
	case 'f':
		return append(dst, "false"...), w.literal("false")
	}
	return dst, w.failValue("a value")
}

// array appends the array that starts at pos.
func (w *writer) array(dst []byte) ([]byte, bool) {
	if !w.open() {
		return dst, false
	}
	dst = append(dst, '[')
	for n := 0; w.next(']', "a value"); n++ {
		if n > 0 {
			dst = append(dst, ',')
		}
		var ok bool
		if dst, ok = w.value(dst); !ok {
			return dst, false
		}
	}
	return append(dst, ']'), w.err == nil
}

// object appends the object that starts at pos. Members are appended as they
// come and put in order at the end, if they did not come in order.
func (w *writer) object(dst []byte) ([]byte, bool) {
	if !w.open() {
		return dst, false
	}
	dst = append(dst, '{')
	base := len(w.members)
	inOrder, escapedKeys := true, false
	for n := 0; w.next('}', "a key"); n++ {
		if n > 0 {
			dst = append(dst, ',')
		}
		m := member{start: len(dst)}
		if w.src[w.pos] != '"' {
			return dst, w.failValue("a key in double quotes")
		}
		var escaped, ok bool
		if dst, escaped, ok = w.string(dst); !ok || !w.colon() {
			return dst, false
		}
		m.keyEnd = len(dst)
		dst = append(dst, ':')
		if dst, ok = w.value(dst); !ok {
			return dst, false
		}
		if w.verbatim {
			continue
		}
		m.end = len(dst)
		escapedKeys = escapedKeys || escaped
		if n > 0 && inOrder {
			inOrder = compareKeys(dst, w.members[len(w.members)-1], m, escapedKeys) < 0
		}
		w.members = append(w.members, m)
	}
	if w.err != nil {
		return dst, false
	}
	if !inOrder {
		dst = w.sortMembers(dst, w.members[base:], escapedKeys)
	}
	w.members = w.members[:base]
	return append(dst, '}'), true
}

// string appends the string that starts at pos and reports whether it has
// escapes.
func (w *writer) string(dst []byte) (_ []byte, escaped, ok bool) {
	token, escaped, ok := w.stringToken()
	if !ok {
		return dst, false, false
	}
	if escaped && !w.verbatim {
		return appendReescaped(dst, token), true, true
	}
	return append(dst, token...), escaped, true
}

// number appends the number that starts at pos.
func (w *writer) number(dst []byte) ([]byte, bool) {
	start := w.pos
	token, integer, ok := w.numberToken()
	if !ok {
		return dst, false
	}
	if integer && fitsInteger(token) || !integer && isCanonicalDecimal(token) {
		return append(dst, token...), true
	}
	f, ok := parseFloat(token)
	if !ok {
		return dst, w.fail(start, "number out of range: a float64 ends at 1.7976931348623157e308")
	}
	if w.verbatim {
		return append(dst, token...), true
	}
	return appendFloat(dst, f), true
}
