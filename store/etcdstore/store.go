package etcdstore

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
)

// Store is Pod metadata below one prefix of an etcd. It implements
// [store.MetadataStore] and the optional abilities [store.Lister], [store.PartReader],
// [store.PodUpdater], [store.Snapshotter] and [store.Watcher]. All methods are safe for
// concurrent use, by any number of Stores on any number of hosts.
//
// Every reading request obeys the caller's context. The one request that changes
// something is not interrupted, so that its outcome is known; if its answer is lost,
// the store finds out. A call returns at most three times [Options].RequestTimeout
// after its context has ended. An edit may be called more than once: after each
// conflict with another writer, for up to 30 s. Changes of one Pod through one Store
// wait for each other instead.
//
// Besides those of the interface, errors match [store.ErrUnavailable] if no server
// answered in time, [store.ErrConflict] if other writers were faster each time,
// [store.ErrTooLarge] if a change is beyond the limits in [Options], before anything is
// sent, [store.ErrUnknown] if the outcome of a change is not known, and
// [store.ErrNoSpace] if etcd's quota is used up and nothing was changed. They wrap what
// etcd itself said, such as that the user lacks a permission.
type Store struct {
	client *clientv3.Client
	prefix string
	opts   Options
	turns  turns
}

var (
	_ store.MetadataStore = (*Store)(nil)
	_ store.Lister        = (*Store)(nil)
	_ store.PartReader    = (*Store)(nil)
	_ store.PodUpdater    = (*Store)(nil)
	_ store.Snapshotter   = (*Store)(nil)
	_ store.Watcher       = (*Store)(nil)
)

// New returns the store below prefix. It adds a slash to the prefix if that is missing.
// It sends nothing. No other program may write below the prefix, and no store may lie
// below another one's. The client stays the caller's, who closes it when nothing uses
// the store any more.
func New(client *clientv3.Client, prefix string, opts *Options) (*Store, error) {
	prefix = strings.TrimRight(prefix, "/") + "/"
	if client == nil || prefix == "/" {
		return nil, &store.Error{Op: "open", Kind: store.ErrInvalid, Err: errors.New("expected a client and a prefix other than / and \"\"")}
	}
	return &Store{client: client, prefix: prefix, opts: opts.withDefaults()}, nil
}

// Prefix returns the beginning of every key of the store. It ends in a slash.
func (s *Store) Prefix() string { return s.prefix }

// Read returns one Pod: see [store.MetadataStore]. It asks a majority, so it sees every
// change that was acknowledged before.
func (s *Store) Read(ctx context.Context, name string) (*store.Metadata, error) {
	return s.now().read(ctx, name, store.ReadOptions{})
}

// List returns the names of all Pods at one moment: see [store.MetadataStore].
func (s *Store) List(ctx context.Context) ([]string, error) {
	names, _, err := s.now().list(ctx)
	return names, err
}

// All yields every Pod: see [store.Lister]. All Pods are as they were when the
// iteration began. If etcd is compacted meanwhile, the remaining Pods are as they are
// when read.
func (s *Store) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return s.now().all(ctx, opts)
}

// Snapshot returns the store as it is now: see [store.Snapshotter]. Keeping it costs
// nothing. Once etcd is compacted past it, its methods return an error that matches
// [store.ErrUnusable].
func (s *Store) Snapshot(ctx context.Context) (store.MetadataStore, io.Closer, error) {
	return s.snapshot(ctx)
}

// ReadPart reads a part of one Pod: see [store.PartReader]. etcd does not send what
// opts leave out.
func (s *Store) ReadPart(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	return s.now().read(ctx, name, opts)
}

// Apply makes changes in one transaction: see [store.MetadataStore]. It reads the Pods
// of the changes, the manifest and history only if needed, and sends the sub-keys that
// differ. Each Pod keeps the IDs of the last 16 requests that changed it; as long as
// etcd keeps its history, Apply knows older ones too. A [store.Remove] first looks
// through all Pods for references. If another client makes a reference meanwhile under
// [store.Exists], as links do, then either it is removed too, or that client's change
// is refused. A bare [store.AddPeer] or [store.AddChild] may stay.
func (s *Store) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	a, err := s.newApplication(changes, opts)
	if err != nil {
		return nil, err
	}
	release, err := s.turns.take(ctx, a.names)
	if err != nil {
		return nil, err
	}
	defer release()
	return a.run(ctx)
}

// Update edits one Pod: see [store.MetadataStore]. It calls edit again after each
// conflict with another writer.
func (s *Store) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	return store.UpdateByPods(ctx, s, name, edit)
}

// UpdatePods edits several Pods in one transaction: see [store.PodUpdater].
func (s *Store) UpdatePods(ctx context.Context, names []string, edit func(pods []*store.Metadata) error) ([]*store.Metadata, error) {
	if err := s.checkCount("update", names); err != nil {
		return nil, err
	}
	if err := store.ValidateNames("update", names); err != nil {
		return nil, err
	}
	release, err := s.turns.take(ctx, names)
	if err != nil {
		return nil, err
	}
	defer release()
	return store.EditByRevision(ctx, inTurn{s}, names, edit)
}

// inTurn is a Store for a caller that already has the turn of its Pods.
type inTurn struct{ *Store }

func (s inTurn) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	a, err := s.newApplication(changes, opts)
	if err != nil {
		return nil, err
	}
	return a.run(ctx)
}
