package podjson

import (
	"bytes"
	"unicode/utf8"

	"podstore/store"
	"podstore/store/jsonvalue"
)

// Mend finds the document in a torn file. Several writers each truncated the file and
// wrote it from its start, which left the last, shorter document and after it the tail
// of an older, longer one. size is the length of the document.
//
// ok is true only if those bytes are exactly a canonical document and the rest is such a
// tail: its lines are those of canonical documents, it closes more brackets than it
// opens, and it contains no whole document.
func Mend(data []byte) (m *store.Metadata, n Naming, size int, ok bool) {
	d := decoders.Get().(*decoder)
	defer d.release()
	d.begin(data)
	d.metadata()
	if d.Err() != nil {
		return nil, Pods, 0, false
	}
	size = bytes.LastIndexByte(data[:d.Offset()], '}') + 1
	if whole, _ := d.naming.AppendMax(nil, d.m, int64(size)); !bytes.Equal(whole, data[:size]) || !isTail(data[size:]) {
		return nil, Pods, 0, false
	}
	return d.m, d.naming, size, true
}

// isTail reports whether text is the end of a canonical document, or of several of
// them, one within the other, and no whole one.
func isTail(text []byte) bool {
	for {
		end, ok := bytes.CutSuffix(text, []byte("}"))
		if !ok {
			return false
		}
		switch {
		case len(end) == 0:
			return true
		case end[len(end)-1] == '}':
			text = end // of two documents only the last byte is left, or of a third one too
			continue
		}
		// In canonical JSON each line is a member, an element, or a bracket, for no
		// string has a line break. So the lines are read from the last one up.
		lines, ok := bytes.CutSuffix(end, []byte("\n"))
		if !ok {
			return false
		}
		t := tail{closers: []byte{'}'}, last: true}
		for {
			i := bytes.LastIndexByte(lines, '\n')
			line := lines[i+1:]
			if i < 0 {
				return t.cut(line)
			}
			if len(line) > 0 && line[0] == '}' { // where another document ends
				if !t.cut(line[1:]) {
					return false
				}
				text = lines[:i+2]
				break
			}
			if !t.line(line) {
				return false
			}
			lines = lines[:i]
		}
	}
}

// tail is the state of a tail that is read from its last line up: what the lines below
// the current one say about it.
type tail struct {
	closers []byte // the brackets that close the containers around it, the outermost first
	last    bool   // it is the last line of its container
}

// line moves up one line. It reports whether a canonical document can have that line with
// more above it.
func (t *tail) line(line []byte) bool {
	text := bytes.TrimLeft(line, " ")
	indent := len(line) - len(text)
	if len(text) == 0 {
		return false
	}
	if c := text[len(text)-1]; c == '{' || c == '[' {
		return t.open(c+2) && indent == 2*len(t.closers) && t.member(append(bytes.Clone(text), c+2))
	}
	text, comma := bytes.CutSuffix(text, []byte(","))
	if comma == t.last || indent != 2*len(t.closers) || len(t.closers) > jsonvalue.MaxDepth {
		return false
	}
	if s := string(text); s == "}" || s == "]" {
		t.closers, t.last = append(t.closers, s[0]), true
		return true
	}
	t.last = false
	return t.member(text)
}

// open moves up past a line that opens the innermost container. It fails if that would
// open the document itself: a tail does not have its beginning.
func (t *tail) open(closer byte) bool {
	top := len(t.closers) - 1
	if t.last || top == 0 || t.closers[top] != closer {
		return false
	}
	t.closers = t.closers[:top]
	return true
}

// member reports whether text is a member or an element of its container, in canonical
// form.
func (t *tail) member(text []byte) bool {
	closer := t.closers[len(t.closers)-1] // a bracket and the one that closes it are two apart
	doc := append(append([]byte{closer - 2}, text...), closer)
	compact, err := jsonvalue.Canonical(doc, jsonvalue.MaxDepth)
	if err != nil {
		return false
	}
	lines := append(append([]byte{closer - 2, '\n', ' ', ' '}, text...), '\n', closer)
	return bytes.Equal(jsonvalue.AppendIndent(nil, compact, 0), lines)
}

// cut reports whether text may be the end of a line, the one at which the tail begins.
func (t *tail) cut(text []byte) bool {
	for range utf8.UTFMax - 1 { // it may begin within a character
		if len(text) > 0 && !utf8.RuneStart(text[0]) {
			text = text[1:]
		}
	}
	if len(text) == 0 {
		return true // nothing of the line is left but its end
	}
	if c := text[len(text)-1]; c == '{' || c == '[' {
		return t.open(c+2) && t.endOfMember(append(bytes.Clone(text), c+2))
	}
	text, comma := bytes.CutSuffix(text, []byte(","))
	if comma == t.last {
		return false
	}
	if s := string(bytes.TrimLeft(text, " ")); s == "}" || s == "]" {
		return true
	}
	return len(bytes.Trim(text, "-+.eE0123456789")) == 0 || t.endOfMember(text)
}

// valueStarts are the beginnings that a value may have lost, as far as they matter for
// what follows.
var valueStarts = []string{"", `"`, `"\`, "{", "[", "t", "tr", "tru", "f", "fa", "fal", "fals", "n", "nu", "nul"}

// memberStarts are the same for a member.
var memberStarts = func() []string {
	starts := []string{"", `"`, `"\`, `"k"`, `"k":`}
	for _, s := range valueStarts {
		starts = append(starts, `"k": `+s)
	}
	return starts
}()

// endOfMember reports whether text is the end of a member or an element of its container.
func (t *tail) endOfMember(text []byte) bool {
	if t.member(bytes.TrimLeft(text, " ")) { // cut in its indentation
		return true
	}
	starts := valueStarts
	if t.closers[len(t.closers)-1] == '}' {
		starts = memberStarts
	}
	for _, start := range starts {
		if t.member(append([]byte(start), text...)) {
			return true
		}
	}
	return false
}
