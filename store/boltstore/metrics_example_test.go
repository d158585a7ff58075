package boltstore_test

import (
	"context"
	"expvar"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"podstore/store"
	"podstore/store/boltstore"
)

// writeMetrics writes what Prometheus scrapes.
func writeMetrics(w io.Writer, s boltstore.Stats) {
	unusable := 0
	if s.Unusable {
		unusable = 1
	}
	for _, m := range []struct {
		name, kind string
		value      any
	}{
		{"podstore_commits_total", "counter", s.Commits},
		{"podstore_changes_total", "counter", s.Changes},
		{"podstore_commit_seconds_total", "counter", s.CommitTime.Seconds()},
		{"podstore_commit_seconds_max", "gauge", s.SlowestCommit.Seconds()},
		{"podstore_group_changes_max", "gauge", s.LargestGroup},
		{"podstore_reads_total", "counter", s.Reads},
		{"podstore_file_bytes", "gauge", s.FileSize},
		{"podstore_free_bytes", "gauge", s.FreeBytes},
		{"podstore_unusable", "gauge", unusable},
	} {
		fmt.Fprintf(w, "# TYPE %s %s\n%s %v\n", m.name, m.kind, m.name, m.value)
	}
}

// Figures for an operator's graphs, with expvar and Prometheus. docs/operations.md
// shows these lines, and a test compares.
func ExampleStore_Stats() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "pods.db")

	pods, err := boltstore.Open(path, &boltstore.Options{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}
	defer pods.Close()
	expvar.Publish("podstore", expvar.Func(func() any { return pods.Stats() }))

	if err := store.Do(context.Background(), pods, "a", store.AddPeer{PodName: "b"}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.HasPrefix(expvar.Get("podstore").String(), `{"Commits":1,"Changes":1,`))
	var metrics strings.Builder
	writeMetrics(&metrics, pods.Stats())
	fmt.Println(strings.Contains(metrics.String(), "\npodstore_changes_total 1\n"))
	// Output:
	// true
	// true
}
