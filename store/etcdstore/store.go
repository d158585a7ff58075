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
// [store.MetadataStore] and the optional abilities [store.Lister],
// [store.PartReader], [store.PodUpdater], [store.Snapshotter] and [store.Watcher]. All
// methods are safe for concurrent use, by any number of Stores on any number of hosts.
//
// A context is passed on with each request that reads. The one request that
// changes something is not interrupted, so that its result is known, and where its
// answer is lost it is brought to an end; a call returns at most three times
// [Options].RequestTimeout after its context has ended. An edit may be called more
// than once: after each conflict with another writer, for up to 30 s. Changes of one
// Pod through one Store wait for each other instead.
//
// Errors match, besides those of the interface: [store.ErrUnavailable] when no
// server answered in time, [store.ErrConflict] when other writers were faster each
// time, [store.ErrTooLarge] when a change is beyond the limits in [Options], before
// anything is sent, [store.ErrUnknown] when it is not known whether a change was
// made, and [store.ErrNoSpace] when etcd's quota is used up and nothing was
// changed. What etcd itself said, such as that the user may not, is wrapped.
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

// New returns the store below prefix, to which it adds a slash at the end where
// that is missing. It sends nothing. No other program may write below the prefix,
// and no store may be below another one's. The client stays the caller's, who
// closes it when the store is no longer used.
func New(client *clientv3.Client, prefix string, opts *Options) (*Store, error) {
	prefix = strings.TrimRight(prefix, "/") + "/"
	if client == nil || prefix == "/" {
		return nil, &store.Error{Op: "open", Kind: store.ErrInvalid, Err: errors.New("expected a client and a prefix other than / and \"\"")}
	}
	return &Store{client: client, prefix: prefix, opts: opts.withDefaults()}, nil
}

// Prefix is what every key of the store begins with. It ends in a slash.
func (s *Store) Prefix() string { return s.prefix }

// Read returns one Pod: see [store.MetadataStore]. It asks a majority, so that it
// sees every change that was acknowledged before.
func (s *Store) Read(ctx context.Context, name string) (*store.Metadata, error) {
	return s.now().read(ctx, name, store.ReadOptions{})
}

// List returns the names of all Pods at one moment: see [store.MetadataStore].
func (s *Store) List(ctx context.Context) ([]string, error) {
	names, _, err := s.now().list(ctx)
	return names, err
}

// All yields every Pod: see [store.Lister]. All of them are given as they were at
// the moment when the iteration began, unless etcd is compacted meanwhile; those
// that remain are then given as they are.
func (s *Store) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return s.now().all(ctx, opts)
}

// Snapshot returns the store as it is now: see [store.Snapshotter]. It costs
// nothing to keep, but once etcd is compacted past it, its methods return an error
// that matches [store.ErrUnusable].
func (s *Store) Snapshot(ctx context.Context) (store.MetadataStore, io.Closer, error) {
	return s.snapshot(ctx)
}

// ReadPart reads a part of one Pod: see [store.PartReader]. What is left out is not
// sent.
func (s *Store) ReadPart(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	return s.now().read(ctx, name, opts)
}

// Apply makes changes in one transaction: see [store.MetadataStore]. It reads what
// they need, all of it but manifest and history in any case, and sends the sub-keys
// that differ. Request IDs are kept with each Pod that was changed, the last 16, and
// as long as etcd keeps its history all of them are known. A [store.Remove] looks
// through all Pods first. A reference that another client makes meanwhile is removed
// too or refused where it is made under [store.Exists], as links are; a bare
// [store.AddPeer] or [store.AddChild] may stay.
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

// Update edits one Pod: see [store.MetadataStore]. edit is called again after each
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

// inTurn is a Store for who has the turn of the Pods that it changes.
type inTurn struct{ *Store }

func (s inTurn) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	a, err := s.newApplication(changes, opts)
	if err != nil {
		return nil, err
	}
	return a.run(ctx)
}
