package store_test

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"podstore/store"
)

func TestValidateName(t *testing.T) {
	for _, name := range []string{
		"agent", "a", "日本語", "line\nbreak", "-dash", `back\slash`, "...", "..a", ".a", " ", "a b", "\x01", "\x7f", "\ufeff",
		"\ufffd", "~", "metadata.json", strings.Repeat("n", 255), strings.Repeat("語", 85), strings.Repeat("é", 127),
	} {
		if err := store.ValidateName(name); err != nil {
			t.Errorf("ValidateName(%q): %v", name, err)
		}
	}
	for name, why := range map[string]string{
		"":                              "it is empty",
		".":                             "it means a directory",
		"..":                            "it means a directory",
		"/":                             "it contains a slash",
		"a/b":                           "it contains a slash",
		"../a":                          "it contains a slash",
		"a/..":                          "it contains a slash",
		"a\x00":                         "it contains a NUL byte",
		"\xff":                          "it is not UTF-8",
		"a\xed\xa0\x80":                 "it is not UTF-8",
		"\xc0\xae":                      "it is not UTF-8",
		strings.Repeat("n", 256):        "it has 256 bytes, the limit is 255",
		strings.Repeat("語", 86):         "it has 258 bytes, the limit is 255",
		strings.Repeat("n", 300) + "/":  "it contains a slash",
		strings.Repeat("é", 128) + "\n": "it has 257 bytes, the limit is 255",
	} {
		err := store.ValidateName(name)
		if !errors.Is(err, store.ErrInvalidName) {
			t.Errorf("ValidateName(%q): got %v, want an error that matches ErrInvalidName", name, err)
			continue
		}
		if !strings.HasSuffix(err.Error(), why) {
			t.Errorf("ValidateName(%q): got %q, want the reason %q", name, err, why)
		}
		if len(name) < 50 && !strings.Contains(err.Error(), strconv.Quote(name)) {
			t.Errorf("ValidateName(%q): the error %q does not quote the name", name, err)
		}
		if len(err.Error()) > 500 {
			t.Errorf("ValidateName of %d bytes gives an error of %d", len(name), len(err.Error()))
		}
	}
}

// Joined to a directory, a valid name is an entry of that directory, and never
// the directory itself or anything outside.
func FuzzValidateName(f *testing.F) {
	for _, name := range []string{"agent", "..", "../x", "a/b", "...", `..\x`, "a\x00", "\xff", "日本語", strings.Repeat("n", 256)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		err := store.ValidateName(name)
		if err != nil {
			if !errors.Is(err, store.ErrInvalidName) {
				t.Errorf("%q: error %v does not match ErrInvalidName", name, err)
			}
			return
		}
		const root = "/state/pods"
		path := filepath.Join(root, name)
		if filepath.Separator == '/' && (filepath.Dir(path) != root || filepath.Base(path) != name) {
			t.Errorf("%q is valid, and names %q", name, path)
		}
		if !filepath.IsLocal(name) && filepath.Separator == '/' {
			t.Errorf("%q is valid, and is not local", name)
		}
	})
}
