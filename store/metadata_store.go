package store

import (
	"context"
	"errors"
	"io"
	"iter"
)

// MetadataStore keeps [Metadata] by Pod name.
//
// All methods are safe for concurrent use. Each takes a context, which is
// checked before work starts and while waiting for it to start: the error is
// then the context's and nothing was changed. A change that has begun is
// finished, and its own result returned.
//
// When a method that changes something returns nil, the change survives a crash
// and a loss of power; nobody sees it before it does. When it returns an error,
// the store holds the state before or the state after the change, nothing
// between; where the error says ErrInvalidName, ErrInvalid, ErrNotFound,
// ErrExists, ErrForbidden, ErrReadOnly, ErrLocked, ErrClosed, ErrUnavailable,
// ErrConflict, or is the context's or the edit's own, the state before.
//
// Every Pod name passed in is judged by [ValidateName]; the error for a bad one
// matches [ErrInvalidName]. Returned metadata is in normal form, has its Version
// set, belongs to the caller, and shares memory with nothing that the store keeps.
//
// What can be said as a [Change] is made by Apply, or by the functions over it:
// [Do], [Write], [LinkPeers], [UnlinkPeers]. For the rest there is Update.
type MetadataStore interface {
	// Read returns one Pod's metadata, whole. The error matches ErrNotFound when
	// there is no such Pod, and ErrCorrupt when what is stored of it is damaged. To
	// leave out what is not needed use [ReadPart].
	Read(ctx context.Context, name string) (*Metadata, error)

	// List returns the names of all Pods, sorted by bytes, damaged ones included.
	// An error that matches ErrCorrupt may come together with the names that
	// could be read.
	List(ctx context.Context) ([]string, error)

	// Apply makes all of the changes or none, in order, as one atomic step. Several
	// may name one Pod. The result has one element for each change. opts may be nil.
	//
	// A change that breaks a rule ([Prepare]) is refused with ErrInvalidName or
	// ErrInvalid, a condition that is not met with its own error, which names the
	// Pod; then nothing is changed. A Pod that is damaged where a change needs what
	// is stored gives ErrCorrupt; [Put] and [Delete] replace it. A store that cannot
	// change several Pods at once refuses that with [errors.ErrUnsupported]. Changes
	// that change nothing write nothing, and the Pod keeps its Version; changes that
	// do give each Pod they change a new Revision, and all of them the same Number.
	Apply(ctx context.Context, changes []Change, opts *ApplyOptions) ([]Applied, error)

	// Update reads one Pod, lets edit change it, and writes the result, as one
	// atomic step: no other change of that Pod falls between. A missing Pod is
	// given to edit as metadata with nothing but its name, and created. The name
	// cannot be changed: what edit does to PodName is ignored. An error from edit
	// is returned, wrapped or as it is, and nothing is changed. An edit that
	// changes nothing writes nothing, but still creates a missing Pod.
	//
	// Update returns the resulting metadata, which may share memory with what
	// edit put into it. edit must depend on nothing but its argument and must not
	// use the store: a backend may have to call it again, after a conflict with
	// another writer. It must not keep its argument, and must return: not end its
	// goroutine, as t.FailNow does. A panic in edit reaches the caller of Update,
	// and nothing is changed. A Pod that is damaged is not given to edit: the error
	// matches ErrCorrupt.
	Update(ctx context.Context, name string, edit func(*Metadata) error) (*Metadata, error)
}

// Lister is the optional ability to give all Pods in one pass. Use [All].
type Lister interface {
	// All yields every Pod in the order of List. The sequence holds no lock and
	// no transaction while it yields, so the caller may use the store in the
	// loop. Each Pod is given as it was at one moment during the iteration; a
	// Pod that is deleted meanwhile may be left out.
	//
	// A Pod that cannot be read is yielded as a nil Metadata and an *Error that
	// names it, and the iteration goes on. An error that concerns no single Pod
	// (Pod is "") comes last.
	All(ctx context.Context, opts ReadOptions) iter.Seq2[*Metadata, error]
}

// ReadOptions say what a caller does not need.
type ReadOptions struct {
	// OmitManifest leaves Manifest nil, and unread where the backend can.
	OmitManifest bool
	// OmitReclaimed leaves Reclaimed nil, and unread where the backend can: the
	// history may be long.
	OmitReclaimed bool
}

// Part returns a copy of m without what is not wanted.
func (o ReadOptions) Part(m *Metadata) *Metadata {
	part := *m
	if o.OmitManifest {
		part.Manifest = nil
	}
	if o.OmitReclaimed {
		part.Reclaimed = nil
	}
	part.Omitted = o
	return part.Clone()
}

// PartReader is the optional ability to read less than a whole Pod for less. Use
// [ReadPart].
type PartReader interface {
	// ReadPart is [MetadataStore] Read without what opts leave out. What it returns
	// remembers that in Omitted, and no store writes it. Damage of what was left out
	// need not be noticed.
	ReadPart(ctx context.Context, name string, opts ReadOptions) (*Metadata, error)
}

// ReadPart reads one Pod of s without what opts leave out: see [PartReader]. A
// store without that ability reads the whole Pod.
func ReadPart(ctx context.Context, s MetadataStore, name string, opts ReadOptions) (*Metadata, error) {
	if r, ok := s.(PartReader); ok {
		return r.ReadPart(ctx, name, opts)
	}
	m, err := s.Read(ctx, name)
	if err != nil {
		return nil, err
	}
	return opts.Part(m), nil
}

// PodUpdater is the optional ability of one atomic edit over several named
// Pods. Use [UpdatePods].
type PodUpdater interface {
	// UpdatePods is [MetadataStore] Update for several Pods at once: all changes
	// are made or none. pods[i] is the Pod named names[i], or nil if it does not
	// exist. edit may change what an element points to, set it to other metadata,
	// new or another element's, which creates or replaces the Pod, or set it to
	// nil, which deletes it;
	// PodName is set to names[i] in any case. A name that is given twice is
	// refused with ErrInvalid. It returns the resulting elements.
	//
	// Where stored data of one of the Pods is damaged the error matches
	// ErrCorrupt, names the Pod, and nothing is changed.
	UpdatePods(ctx context.Context, names []string, edit func(pods []*Metadata) error) ([]*Metadata, error)
}

// BatchWriter is the optional ability of a store that cannot change several Pods at
// once to write many for less than one Apply each.
type BatchWriter interface {
	// WriteBatch is Apply for each [Put] alone, of the Pod that its metadata names.
	// Each Pod is written whole or not at all; all that succeeded are durable on
	// return. The result has one error for each element, nil where it was written.
	WriteBatch(ctx context.Context, puts []Put) []error
}

// Rooted is the ability of a backend that keeps its Pods below a directory.
type Rooted interface {
	// RootDir is that directory, as the backend was given it, or "" where the
	// store is not kept in one.
	RootDir() string
}

// Snapshotter is the optional ability to freeze one moment of the whole store.
type Snapshotter interface {
	// Snapshot returns a store that can be read and holds what the store held at
	// one moment. Changing it fails with ErrReadOnly. Closing the closer frees
	// it.
	Snapshot(ctx context.Context) (MetadataStore, io.Closer, error)
}

// RootDir is the directory below which s keeps its Pods, or "" where s is not
// path-backed.
func RootDir(s MetadataStore) string {
	if r, ok := s.(Rooted); ok {
		return r.RootDir()
	}
	return ""
}

// UpdatePods is one atomic edit over several named Pods: see [PodUpdater]. A
// store without that ability gives an error that matches
// [errors.ErrUnsupported].
func UpdatePods(ctx context.Context, s MetadataStore, names []string, edit func(pods []*Metadata) error) ([]*Metadata, error) {
	if u, ok := s.(PodUpdater); ok {
		return u.UpdatePods(ctx, names, edit)
	}
	return nil, &Error{Op: "update pods", Err: errors.ErrUnsupported}
}

// All yields every Pod of s, in one pass where s is a [Lister], otherwise by one
// Read for each name of List. What [Lister] says of the sequence holds for both.
func All(ctx context.Context, s MetadataStore, opts ReadOptions) iter.Seq2[*Metadata, error] {
	if l, ok := s.(Lister); ok {
		return l.All(ctx, opts)
	}
	return func(yield func(*Metadata, error) bool) {
		names, listErr := s.List(ctx)
		for _, name := range names {
			m, err := ReadPart(ctx, s, name, opts)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if !yield(m, err) {
				return
			}
			if ended := ctx.Err(); ended != nil {
				// Without it the Pods that are left would look absent.
				if !errors.Is(err, ended) {
					yield(nil, ended)
				}
				return
			}
		}
		if listErr != nil {
			yield(nil, listErr)
		}
	}
}
