package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"podstore/store"
)

// quoteName writes a Pod's name as one word of a line. It quotes a name with spaces, quotes
// or characters that do not print or look empty, as in Go source. No other name begins with
// a quote, so the word determines the name.
func quoteName(name string) string {
	odd := func(r rune) bool {
		return r == ' ' || r == '"' || r == '\'' || r == '`' || !strconv.IsPrint(r)
	}
	first, size := utf8.DecodeRuneInString(name)
	switch {
	case strings.ContainsFunc(name, looksEmpty):
		return strconv.QuoteToASCII(name)
	case unicode.IsMark(first): // it would combine with the character before the name
		return strings.TrimSuffix(strconv.QuoteToASCII(name[:size]), `"`) + strconv.Quote(name[size:])[1:]
	case name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, odd):
		return strconv.Quote(name)
	}
	return name
}

// looksEmpty reports whether a character prints by Unicode's rules but shows nothing:
// fillers of Hangul, the empty pattern of Braille, selectors of variations.
func looksEmpty(r rune) bool {
	return r == 0x115F || r == 0x1160 || r == 0x3164 || r == 0xFFA0 || r == 0x2800 || r == 0x034F || unicode.Is(unicode.Variation_Selector, r)
}

// visible reports whether a character can be seen and a terminal does not act upon it: it is
// neither a control nor a mark of text direction.
func visible(r rune) bool { return strconv.IsPrint(r) }

// visibleText escapes characters that are not visible as in JSON strings, except line ends
// and tabs. So text that is JSON stays the same JSON.
func visibleText(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !visible(r) && r != '\n' && r != '\t' }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case visible(r), r == '\n', r == '\t':
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// oneLine joins the lines of a message and escapes other characters that a terminal would
// act upon.
func oneLine(s string) string {
	s = strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ")
	if !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// shellWord quotes an argument of a command line, for copying into a shell.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:,@%=", r)
	}
	switch {
	case s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }):
		return s
	case strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }):
		quoted := strconv.Quote(s)
		return "$'" + strings.ReplaceAll(quoted[1:len(quoted)-1], "'", `\'`) + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// plural is "1 Pod", "2 Pods".
func plural[N int | int64](n N, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// place is the position of an error: PATH, PATH:LINE or PATH:LINE:COLUMN. path is used if
// the error has none.
func place(err error, path string) string {
	var e *store.Error
	if errors.As(err, &e) && e.Path != "" {
		return e.Position()
	}
	return (&store.Error{Path: path}).Position()
}

// reason is the cause of an error without operation, Pod and position.
func reason(err error) string {
	var e *store.Error
	if errors.As(err, &e) {
		return oneLine(e.Reason())
	}
	return oneLine(err.Error())
}

// pathOf is the file in an error of the system, or "".
func pathOf(err error) string {
	if e := new(fs.PathError); errors.As(err, &e) {
		return e.Path
	}
	if e := new(store.Error); errors.As(err, &e) {
		return e.Path
	}
	return ""
}

// humanBytes is a size with a unit, for messages.
func humanBytes(n int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1024 {
		return plural(n, "byte")
	}
	f := float64(n) / 1024
	for f >= 1024 && len(units) > 1 {
		f, units = f/1024, units[1:]
	}
	return fmt.Sprintf("%.1f %s", f, units[0])
}
