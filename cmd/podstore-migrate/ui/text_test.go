package main

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// oddNames are names that a terminal must not act upon, and that must not disturb its
// columns.
var oddNames = []string{
	"a b", "it's", `q"uote`, "$(id)", "`id`", "-dash", "new\nline", "tab\there", "del\x7f",
	"\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u009b31m", "\u202eevil", "\u2066isolate",
	"עברית", "مرحبا", "e\u0301te\u0301", "\u0301lead", "翻訳者", "हिन्दी", "ที่นี่",
	"👨\u200d👩\u200d👧", "❤\ufe0f", "🇩🇪", "👍🏽", "\u1100\u1161", "zero\u200bwidth", "soft\u00adhyphen",
	strings.Repeat("x", 255), strings.Repeat("漢", 85), "a" + strings.Repeat("\u0301", 127), "back\\slash", "no\u00a0break",
}

func TestQuoted(t *testing.T) {
	for name, want := range map[string]string{
		"plain":            "plain",
		"a b":              `"a b"`,
		`q"\`:              `"q\"\\"`,
		"back\\slash":      "back\\slash",
		"":                 `""`,
		"\x1b[2J":          `"\x1b[2J"`,
		"new\nline":        `"new\nline"`,
		"\u009b31m":        `"\u009b31m"`,
		"\u202eevil":       `"\u202eevil"`,
		"\u0301lead":       `"\u0301lead"`,
		"e\u0301":          "e\u0301",
		"\u200b\u0301":     `"\u200b\u0301"`,
		"👨\u200d👩":         `"👨\u200d👩"`,
		"👍\U0001f3fd":      `"👍\U0001f3fd"`,
		"翻訳者":              "翻訳者",
		"bad\xffutf8":      `"bad\xffutf8"`,
		"replaced\ufffd":   `"replaced\ufffd"`,
		"1\U000e0001label": `"1\U000e0001label"`,
	} {
		if got := quoted(name); got != want {
			t.Errorf("quoted(%q) is %s, want %s", name, got, want)
		}
	}
	if got := visible("one\ntwo\x1b[2J "); got != `one; two\x1b[2J` {
		t.Errorf("visible gives %q", got)
	}
}

func TestAgeAndCount(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		-time.Hour: "now", 0: "now", 59 * time.Second: "59s", time.Minute: "1m", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 200000 * time.Hour: "8333d",
	} {
		if got := age(now, now.Add(-ago)); got != want {
			t.Errorf("age of %v is %s, want %s", ago, got, want)
		}
	}
	if got := age(now, time.Time{}); got != "-" {
		t.Errorf("an unknown age is %q", got)
	}
	for n, want := range map[int]string{0: "0 Pods", 1: "1 Pod", 999: "999 Pods", 1000: "1,000 Pods", 1234567: "1,234,567 Pods"} {
		if got := count(n, "Pod"); got != want {
			t.Errorf("count gives %q, want %q", got, want)
		}
	}
}

// harmless fails where text has something that a terminal acts upon, or is wider than
// it may be by any way to count.
func harmless(t *testing.T, text string, columns int) {
	t.Helper()
	for _, r := range text {
		if !unicode.IsPrint(r) && r != ' ' {
			t.Fatalf("%q has %U", text, r)
		}
	}
	if a, b := ansi.StringWidth(text), ansi.StringWidthWc(text); a > columns || b > columns {
		t.Fatalf("%q takes %d or %d columns of %d", text, a, b, columns)
	}
}

func FuzzText(f *testing.F) {
	for i, name := range oddNames {
		f.Add(name, i)
	}
	f.Fuzz(func(t *testing.T, s string, columns int) {
		columns = 1 + (columns&0xff)%100
		harmless(t, cut(quoted(s), columns), columns)
		harmless(t, pad(visible(s), columns), columns)
		for _, l := range wrap(visible(s), columns) {
			harmless(t, l, max(columns, 8))
		}
		joined := strings.Join(wrap(quoted(s), 200), "")
		if joined != quoted(s) {
			t.Errorf("wrapping %q loses something: %q", quoted(s), joined)
		}
	})
}
