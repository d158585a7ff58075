package boltstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"podstore/store"
)

// within fails the test, with all stacks, when f does not return.
func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		stacks := make([]byte, 1<<20)
		t.Fatalf("%s hangs\n%s", what, stacks[:runtime.Stack(stacks, true)])
	}
}

// Close waits for readers. Later calls fail because the store is closed. Neither waits
// for the other for ever.
func TestCloseWhileReading(t *testing.T) {
	dir := t.TempDir()
	for i := range 50 {
		s, err := Open(filepath.Join(dir, fmt.Sprint(i)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Write(t.Context(), s, &store.Metadata{PodName: "pod", Manifest: json.RawMessage(`{}`)}); err != nil {
			t.Fatal(err)
		}
		var reading sync.WaitGroup
		begun := make(chan struct{}, 8)
		for range 8 {
			reading.Go(func() {
				for n := 0; ; n++ {
					_, err := s.Read(t.Context(), "pod")
					if n == 0 {
						begun <- struct{}{}
					}
					if errors.Is(err, store.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 8 {
			<-begun
		}
		within(t, time.Minute, "Close", func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		within(t, time.Minute, "a Read", reading.Wait)
	}
}

// When a file outgrows its mapping, bbolt waits for all readers and lets nobody begin.
// Reads and writes go on after that.
func TestFileOutgrowsMapping(t *testing.T) {
	defer func(size int) { initialMapping = size }(initialMapping)
	initialMapping = 0
	s, err := Open(filepath.Join(t.TempDir(), "pods.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := store.Write(t.Context(), s, &store.Metadata{PodName: "pod"}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var reading sync.WaitGroup
	for range 8 {
		reading.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Read(t.Context(), "pod"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	manifest := []byte(`"` + string(bytes.Repeat([]byte("a"), 100_000)) + `"`)
	within(t, 2*time.Minute, "a Write or a Read", func() {
		for i := range 300 { // 30 MB: more than ten mappings
			if err := store.Write(t.Context(), s, &store.Metadata{PodName: fmt.Sprint("pod-", i), Manifest: manifest}); err != nil {
				t.Error(err)
				break
			}
		}
		close(stop)
		reading.Wait()
	})
}
