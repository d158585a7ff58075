package boltstore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"podstore/store"
)

// A change inside an edit would wait for itself. The store refuses it, and the edit and
// the store go on.
func TestChangeInsideAnEdit(t *testing.T) {
	ctx := t.Context()
	s := openNew(t)
	_, err := s.Update(ctx, "a", func(m *store.Metadata) error {
		for what, err := range map[string]error{
			"apply":  store.Do(ctx, s, "b", store.AddPeer{PodName: "c"}),
			"update": second(s.Update(ctx, "a", func(*store.Metadata) error { return nil })),
			"close":  s.Close(),
		} {
			if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), `update pod "a"`) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := s.Read(ctx, "b"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("read: %v", err)
		}
		return m.AddPeer("p")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Do(ctx, s, "b", store.AddPeer{PodName: "c"}); err != nil {
		t.Error(err)
	}
}

// An edit that waits for the store through another goroutine ends with that call's
// context, and the log names both.
func TestEditThatHangsIsNamed(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&lockedWriter{&mu, &log}, nil))
	s := open(t, filepath.Join(t.TempDir(), "pods.db"), &Options{Logger: logger})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			mu.Lock()
			said := strings.Contains(log.String(), "runs for long")
			mu.Unlock()
			if said {
				cancel()
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	_, err := s.Update(t.Context(), "a", func(*store.Metadata) error {
		inner := make(chan error)
		go func() { inner <- store.Do(ctx, s, "b", store.AddPeer{PodName: "c"}) }()
		return <-inner
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	for _, name := range []string{`update pod \"a\"`, `apply pod \"b\"`} {
		if !strings.Contains(log.String(), name) {
			t.Errorf("the log does not have %s: %s", name, log.String())
		}
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
