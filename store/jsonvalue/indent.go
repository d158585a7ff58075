package jsonvalue

import (
	"bytes"
	"strings"
)

// lineStart is a line break and the indentation of the deepest line that a
// document can have.
var lineStart = "\n" + strings.Repeat("  ", MaxDepth)

// AppendIndent appends src, a value in canonical form, as serde_json's pretty printer
// does: two spaces a level, `": "` after keys, `[]` and `{}` when empty, no
// line break at the end. Lines after the first are indented as if the value were
// inside level containers. src must be a result of [Canonical] and must
// not overlap dst.
func AppendIndent(dst, src []byte, level int) []byte {
	for i := 0; i < len(src); {
		switch c := src[i]; c {
		case '{', '[':
			if i+1 < len(src) && src[i+1] == c+2 { // the closing bracket
				dst = append(dst, c, c+2)
				i += 2
				continue
			}
			level++
			dst = appendLine(append(dst, c), level)
			i++
		case '}', ']':
			level--
			dst = append(appendLine(dst, level), c)
			i++
		case ',':
			dst = appendLine(append(dst, ','), level)
			i++
		case ':':
			dst = append(dst, ": "...)
			i++
		case '"':
			end := stringEnd(src, i)
			dst = append(dst, src[i:end]...)
			i = end
		default:
			end := i + 1
			for end < len(src) && src[end] != ',' && src[end] != '}' && src[end] != ']' {
				end++
			}
			dst = append(dst, src[i:end]...)
			i = end
		}
	}
	return dst
}

// appendLine starts a line that is indented by level levels.
func appendLine(dst []byte, level int) []byte {
	if n := 1 + 2*level; 0 < n && n <= len(lineStart) {
		return append(dst, lineStart[:n]...)
	}
	dst = append(dst, '\n')
	for range level { // deeper than any document
		dst = append(dst, "  "...)
	}
	return dst
}

// stringEnd returns the end of the string literal that starts at i.
func stringEnd(src []byte, i int) int {
	for i++; i < len(src); i++ {
		n := bytes.IndexByte(src[i:], '"')
		if n < 0 {
			break
		}
		slashes := 0
		for slashes < n && src[i+n-1-slashes] == '\\' {
			slashes++
		}
		i += n
		if slashes%2 == 0 {
			return i + 1
		}
	}
	return len(src)
}
