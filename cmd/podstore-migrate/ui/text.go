package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Names, paths, manifests and errors are data, and a terminal acts upon control characters.
// So data must pass through quoted or visible before it goes to the terminal.

// steady reports whether a character can be shown: it prints, does not change the direction
// of the text, and does not change the width of its neighbour, as some terminals would.
func steady(r rune) bool {
	switch {
	case !strconv.IsPrint(r), r == utf8.RuneError:
		return false
	case unicode.Is(unicode.Variation_Selector, r), // emoji style
		r >= 0x1F3FB && r <= 0x1F3FF,                         // skin tones
		r >= 0x1F1E6 && r <= 0x1F1FF,                         // halves of flags
		r >= 0x1160 && r <= 0x11FF, r == 0x3164, r == 0xFFA0: // parts and fillers of Hangul
		return false
	}
	return true
}

// escaped escapes, as in Go source, the characters that are not steady, and the quote if
// there is one. It also escapes a mark that would combine with the character before the
// text.
func escaped(s string, quote byte) string {
	var b strings.Builder
	bare := true // there is no character yet that a mark belongs to
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case quote != 0 && (r == rune(quote) || r == '\\'):
			b.WriteByte('\\')
			b.WriteRune(r)
		case bare && unicode.IsMark(r), !steady(r):
			b.WriteString(escape(r))
		default:
			b.WriteRune(r)
		}
		bare = !steady(r) || bare && unicode.IsMark(r)
		s = s[size:]
	}
	return b.String()
}

func escape(r rune) string {
	switch {
	case r < 0x20 || r == 0x7f:
		q := strconv.QuoteRuneToASCII(r)
		return q[1 : len(q)-1]
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// quoted is a Pod's name as list prints it: quoted if it has spaces, quotes or characters
// that do not print, so that it cannot be mistaken for other text.
func quoted(name string) string {
	odd := func(r rune) bool { return strings.ContainsRune(" \"'`", r) || !steady(r) }
	first, _ := utf8.DecodeRuneInString(name)
	if name == "" || unicode.IsMark(first) || strings.ContainsFunc(name, odd) {
		return `"` + escaped(name, '"') + `"`
	}
	return name
}

// visible is text on one line without anything that a terminal acts upon.
func visible(s string) string {
	return escaped(strings.ReplaceAll(strings.TrimSpace(s), "\n", "; "), 0)
}

// width is the number of columns of text. Terminals disagree about some scripts; it is the
// largest number.
func width(s string) (n int) {
	for len(s) > 0 {
		var w int
		s, w = afterCluster(s)
		n += w
	}
	return n
}

// afterCluster returns the text after its first visible unit, and the width of that unit.
func afterCluster(s string) (rest string, w int) {
	if s[0] >= ' ' && s[0] < 0x7f && (len(s) == 1 || s[1] < 0x80) {
		return s[1:], 1
	}
	cluster, w := ansi.FirstGraphemeCluster(s, ansi.GraphemeWidth)
	return s[len(cluster):], max(w, ansi.StringWidthWc(cluster))
}

// cut shortens text to a number of columns.
func cut(s string, to int) string {
	if to <= 0 {
		return ""
	}
	if len(s) <= to || width(s) <= to {
		return s
	}
	head, _ := split(s, to-1)
	return head + "…"
}

// split splits text after the part that fits into a number of columns.
func split(s string, columns int) (head, rest string) {
	rest = s
	for n := 0; len(rest) > 0; {
		after, w := afterCluster(rest)
		if n += w; n > columns {
			break
		}
		rest = after
	}
	return s[:len(s)-len(rest)], rest
}

// pad fills text up with spaces, or shortens it.
func pad(s string, to int) string {
	s = cut(s, to)
	return s + strings.Repeat(" ", max(0, to-width(s)))
}

// padLeft is pad for numbers.
func padLeft(s string, to int) string {
	s = cut(s, to)
	return strings.Repeat(" ", max(0, to-width(s))) + s
}

// wrap breaks text into lines of a number of columns. It breaks after a space if the line is
// then more than half full, or if that keeps a word whole.
func wrap(s string, columns int) (lines []string) {
	columns = max(columns, 8)
	for {
		head, rest := split(s, columns)
		if i := strings.LastIndexByte(head, ' ') + 1; rest != "" && strings.TrimSpace(head[:i]) != "" {
			word, _, _ := strings.Cut(s[i:], " ")
			if width(head[:i]) > columns/2 || width(word) <= columns {
				head, rest = s[:i], s[i:]
			}
		}
		if head == "" { // a unit wider than all: it cannot be shown
			rest = ""
		}
		lines = append(lines, head)
		if s = rest; s == "" {
			return lines
		}
	}
}

// age is the time since t, in at most five letters, or "-" if t is unknown.
func age(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "-"
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", min(d/(24*time.Hour), 9999))
}

// count is "1 Pod", "10,000 Pods".
func count(n int, noun string) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if n != 1 {
		noun += "s"
	}
	return s + " " + noun
}
