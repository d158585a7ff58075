package store

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
)

// Combined is one handle over a session log and a metadata store. It forwards every
// method to its half, optional abilities included. If the metadata store lacks one, All
// uses List and Read, ReadPart uses Read, WriteBatch uses Apply, RootDir is "", and
// UpdatePods, Watch and Snapshot fail with [errors.ErrUnsupported]. Follow does too, if
// the session log cannot follow.
type Combined struct {
	SessionLog
	MetadataStore
}

var (
	_ SessionLog    = (*Combined)(nil)
	_ Follower      = (*Combined)(nil)
	_ MetadataStore = (*Combined)(nil)
	_ Lister        = (*Combined)(nil)
	_ PartReader    = (*Combined)(nil)
	_ PodUpdater    = (*Combined)(nil)
	_ Watcher       = (*Combined)(nil)
	_ BatchWriter   = (*Combined)(nil)
	_ Rooted        = (*Combined)(nil)
	_ Snapshotter   = (*Combined)(nil)
)

// NewCombined combines a session log and a metadata store. It starts nothing and keeps
// no state.
func NewCombined(logs SessionLog, pods MetadataStore) *Combined {
	return &Combined{SessionLog: logs, MetadataStore: pods}
}

// All yields every Pod of the metadata store, as [All] does.
func (c *Combined) All(ctx context.Context, opts ReadOptions) iter.Seq2[*Metadata, error] {
	return All(ctx, c.MetadataStore, opts)
}

// ReadPart reads a part of one Pod, as [ReadPart] does.
func (c *Combined) ReadPart(ctx context.Context, name string, opts ReadOptions) (*Metadata, error) {
	return ReadPart(ctx, c.MetadataStore, name, opts)
}

// UpdatePods is one atomic edit over several Pods, as [UpdatePods] does.
func (c *Combined) UpdatePods(ctx context.Context, names []string, edit func(pods []*Metadata) error) ([]*Metadata, error) {
	return UpdatePods(ctx, c.MetadataStore, names, edit)
}

// Watch watches the metadata store, as [Watch] does.
func (c *Combined) Watch(ctx context.Context, opts WatchOptions) iter.Seq2[Batch, error] {
	return Watch(ctx, c.MetadataStore, opts)
}

// WriteBatch writes each Pod to the metadata store: see [BatchWriter].
func (c *Combined) WriteBatch(ctx context.Context, puts []Put) []error {
	return writeBatch(ctx, c.MetadataStore, puts)
}

// RootDir is the metadata store's directory: see [RootDir].
func (c *Combined) RootDir() string { return RootDir(c.MetadataStore) }

// Snapshot reads one moment of the metadata store: see [Snapshotter].
func (c *Combined) Snapshot(ctx context.Context) (MetadataStore, io.Closer, error) {
	if s, ok := c.MetadataStore.(Snapshotter); ok {
		return s.Snapshot(ctx)
	}
	return nil, nil, &Error{Op: "snapshot", Err: errors.ErrUnsupported}
}

// Follow follows a segment of the session log, as [Follow] does.
func (c *Combined) Follow(ctx context.Context, session SessionID, segment SegmentID, n int) iter.Seq2[json.RawMessage, error] {
	return Follow(ctx, c.SessionLog, session, segment, n)
}

// Close closes each half that is an [io.Closer], both in any case, and joins
// their errors.
func (c *Combined) Close() error {
	var errs []error
	for _, half := range []any{c.SessionLog, c.MetadataStore} {
		if closer, ok := half.(io.Closer); ok {
			errs = append(errs, closer.Close())
		}
	}
	return errors.Join(errs...)
}
