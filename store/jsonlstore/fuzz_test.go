package jsonlstore_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/jsonlstore"
)

// Any bytes may stand in a file. Reading them neither panics nor loses count,
// and an append leaves a file that ends in the entry, on a line of its own.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "{}", "{}\n", "{}\n{", "{}\r\n \n{\"a\":1}\n", "{\"a\":\"\xc3", "\xff\n{}\n", "[]\n", "{}{}\n", "\x00\n{}\n", "\ufeff{}\n",
		strings.Repeat(" ", 70) + "\n", strings.Repeat("{", 200) + "\n", `{"a":"` + strings.Repeat("x", 90) + "\"}\n{}\n",
	} {
		f.Add([]byte(seed), byte(3))
	}
	root := f.TempDir()
	s := open(f, root, &jsonlstore.Options{Sync: jsonlstore.SyncNever, MaxEntrySize: 64})
	path := logPath(root, sessionA, segment1)
	lay(f, path, "")
	f.Fuzz(func(t *testing.T, content []byte, keep byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		committed := content[:bytes.LastIndexByte(content, '\n')+1]
		entries := 0
		for entry, err := range s.ReadAll(t.Context(), sessionA, segment1) {
			entries++
			var e *store.Error
			switch {
			case err == nil:
				if len(entry) > 64 || entry[0] != '{' || bytes.ContainsAny(entry, "\n\r\t") {
					t.Fatalf("entry %d is %q", entries, entry)
				}
			case !errors.As(err, &e) || e.Path != path || e.Line < 1 || e.Line > bytes.Count(committed, []byte("\n")):
				t.Fatalf("entry %d: %v", entries, err)
			case errors.Is(err, store.ErrInvalid):
			case !errors.Is(err, store.ErrCorrupt) || e.Column < 1 || e.Column > len(committed):
				t.Fatalf("entry %d: %v", entries, err)
			}
		}
		count, err := s.EntryCount(t.Context(), sessionA, segment1)
		if err != nil || count != entries {
			t.Fatalf("EntryCount is %d, %v, but ReadAll yields %d", count, err, entries)
		}

		noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{"appended":true}`)))
		contentIs(t, path, string(committed)+"{\"appended\":true}\n")

		noError(t, s.Truncate(t.Context(), sessionA, segment1, int(keep)))
		cut, err := os.ReadFile(path)
		noError(t, err)
		after, err := s.EntryCount(t.Context(), sessionA, segment1)
		if err != nil || after != min(int(keep), entries+1) || !bytes.HasPrefix(append(committed, "{\"appended\":true}\n"...), cut) {
			t.Fatalf("cut to %d of %d entries: %d, %v, %q", keep, entries+1, after, err, cut)
		}
	})
}
