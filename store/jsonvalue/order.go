package jsonvalue

import (
	"bytes"
	"cmp"
	"slices"
)

// member is one member of an object by its place in the output: the key with
// its quotes is out[start:keyEnd], the whole member out[start:end].
type member struct{ start, keyEnd, end int }

func (m member) key(out []byte) []byte { return out[m.start+1 : m.keyEnd-1] }

// compareKeys orders two members by the unescaped bytes of their keys. escaped must be
// true if either key may hold an escape.
func compareKeys(out []byte, a, b member, escaped bool) int {
	x, y := a.key(out), b.key(out)
	if !escaped {
		return bytes.Compare(x, y)
	}
	for len(x) > 0 && len(y) > 0 {
		var cx, cy byte
		cx, x = firstByte(x)
		cy, y = firstByte(y)
		if cx != cy {
			return cmp.Compare(cx, cy)
		}
	}
	return cmp.Compare(len(x), len(y))
}

// firstByte returns the first unescaped byte of a canonical string and what
// follows it. A canonical escape always stands for a single byte.
func firstByte(key []byte) (byte, []byte) {
	if key[0] != '\\' {
		return key[0], key[1:]
	}
	r, n := unescape(key)
	return byte(r), key[n:]
}

// sortMembers puts the members of one object, at the end of out, in the order of their
// keys. Of equal keys the last one stays.
func (w *writer) sortMembers(out []byte, members []member, escaped bool) []byte {
	slices.SortFunc(members, func(a, b member) int {
		if c := compareKeys(out, a, b, escaped); c != 0 {
			return c
		}
		return cmp.Compare(b.start, a.start)
	})
	first := len(out)
	w.sorted = w.sorted[:0]
	for i, m := range members {
		first = min(first, m.start)
		if i > 0 && compareKeys(out, members[i-1], m, escaped) == 0 {
			continue
		}
		if i > 0 {
			w.sorted = append(w.sorted, ',')
		}
		w.sorted = append(w.sorted, out[m.start:m.end]...)
	}
	return append(out[:first], w.sorted...)
}
