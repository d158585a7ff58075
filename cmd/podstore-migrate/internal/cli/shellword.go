package cli

import (
	"fmt"
	"os"
	"strings"
	"unicode/utf8"
)

// shell selects the quoting rules of a shell.
type shell int

const (
	bash shell = iota
	zsh
	fish
)

var shells = map[string]shell{"bash": bash, "zsh": zsh, "fish": fish}

// quoteForShell writes text as a part of one word of a command line of bash or zsh. The
// shell takes all of it literally, and a terminal acts on none of it. Plain text stays as it
// is, so that words with a common beginning are written with a common beginning.
func quoteForShell(text string) string {
	var b strings.Builder
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,%", r):
			b.WriteRune(r)
		case visible(r) && (r != utf8.RuneError || size > 1):
			if r < utf8.RuneSelf {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		default:
			b.WriteString("$'")
			for _, c := range []byte(text[i : i+size]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
			b.WriteByte('\'')
		}
	}
	return b.String()
}

// inQuotes writes text after an open quote of either kind. ok is false if the text would
// need escaping there.
func inQuotes(text string) (word string, ok bool) {
	for _, r := range text {
		if !visible(r) || strings.ContainsRune("'\"\\`$!", r) {
			return "", false
		}
	}
	return text, true
}

// rawWord is a word of a command line as it was typed, and its meaning.
type rawWord struct {
	raw, text string
	open      bool // a quote is not closed
}

// splitLine splits a command line into words as the shell does. It expands nothing except
// "~/" at the beginning of a word, and evaluates nothing. The last word is the one that is
// being typed, and may be empty. After "|", ";" or "&" a new command begins.
func (s shell) splitLine(line string) []rawWord {
	words := []rawWord{{}}
	last := func() *rawWord { return &words[len(words)-1] }
	end := func() {
		if last().raw != "" {
			words = append(words, rawWord{})
		}
	}
	for i := 0; i < len(line); {
		w := last()
		n := 1
		switch c := line[i]; {
		case c == ' ' || c == '\t' || c == '\n':
			end()
			i++
			continue
		case strings.IndexByte("|;&", c) >= 0:
			words = []rawWord{{}}
			i++
			continue
		case c == '\\' && i+1 < len(line):
			text, size := s.escape(line[i:])
			w.text += text
			n = size
		case c == '$' && s != fish && strings.HasPrefix(line[i:], "$'"):
			text, size, closed := s.ansi(line[i+2:])
			w.text, w.open, n = w.text+text, !closed, size+2
		case c == '\'' || c == '"':
			text, size, closed := s.quoted(line[i+1:], c)
			w.text, w.open, n = w.text+text, !closed, size+1
		case c == '~' && w.raw == "" && strings.HasPrefix(line[i:], "~/"):
			home, _ := os.UserHomeDir()
			w.text += home
		default:
			w.text += line[i : i+1]
		}
		w.raw += line[i : i+n]
		i += n
	}
	return words
}

// escape reads an escape outside of quotes.
func (s shell) escape(line string) (text string, size int) {
	if s == fish {
		return ansiEscape(line)
	}
	_, n := utf8.DecodeRuneInString(line[1:])
	return line[1 : 1+n], 1 + n
}

// quoted reads what follows an opening quote, the closing one included.
func (s shell) quoted(line string, quote byte) (text string, size int, closed bool) {
	special := "\\`$\"\n" // the characters that a backslash escapes
	switch {
	case quote == '\'' && s == fish:
		special = `\'`
	case quote == '\'':
		special = ""
	}
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == quote:
			return b.String(), i + 1, true
		case c == '\\' && i+1 < len(line) && strings.IndexByte(special, line[i+1]) >= 0:
			i++
			b.WriteByte(line[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), len(line), false
}

// ansi reads what follows "$'".
func (s shell) ansi(line string) (text string, size int, closed bool) {
	var b strings.Builder
	for i := 0; i < len(line); {
		switch {
		case line[i] == '\'':
			return b.String(), i + 1, true
		case line[i] == '\\' && i+1 < len(line):
			part, n := ansiEscape(line[i:])
			b.WriteString(part)
			i += n
		default:
			b.WriteByte(line[i])
			i++
		}
	}
	return b.String(), len(line), false
}

// ansiEscape reads one escape such as \n, \x1b or \u202e. In an unknown escape the character
// stands for itself.
func ansiEscape(line string) (text string, size int) {
	plain := map[byte]string{'a': "\a", 'b': "\b", 'e': "\x1b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}
	c := line[1]
	if text, ok := plain[c]; ok {
		return text, 2
	}
	digits := map[byte]int{'x': 2, 'X': 2, 'u': 4, 'U': 8}[c]
	value, n := 0, 0
	for ; n < digits && 2+n < len(line); n++ {
		d := strings.IndexByte("0123456789abcdef", line[2+n]|0x20)
		if d < 0 {
			break
		}
		value = value<<4 | d
	}
	switch {
	case n > 0 && digits == 2:
		return string([]byte{byte(value)}), 2 + n
	case n > 0:
		return string(rune(value)), 2 + n
	}
	_, width := utf8.DecodeRuneInString(line[1:])
	return line[1 : 1+width], 1 + width
}
