package store

import (
	"context"
	"errors"
	"io"
	"iter"
)

// MetadataStore keeps [Metadata] by Pod name.
//
// All methods are safe for concurrent use. Each method checks its context before it
// starts and while it waits to start. If the context has ended, the method returns the
// context's error and changes nothing. The end of the context does not stop a change that
// has begun: the call waits for its result and returns that. A store in another process
// may stop waiting; the error then matches ErrUnknown.
//
// When a method that changes something returns nil, the change survives a crash and a
// loss of power. Nobody sees a change before it is durable, except later changes of the
// same commit. If that commit fails, all of them fail; otherwise each succeeds or fails
// by itself.
//
// When such a method returns an error, the store holds the state before the change or
// the state after it, nothing between. It is the state before if the error
//
//   - is the context's or the edit's own, or
//   - matches ErrInvalidName, ErrInvalid, ErrTooLarge, ErrNotFound, ErrExists,
//     ErrConflict, ErrForbidden, ErrReadOnly, ErrLocked, ErrClosed, ErrUnavailable,
//     ErrCorrupt, ErrFormat or [errors.ErrUnsupported], and does not match ErrUnusable.
//
// After any other error, such as ErrUnknown, ErrUnusable or an I/O error, the store may
// hold either state. Find out which. Changes that have an ID can be sent again under it,
// with Resent: see [ApplyOptions]. Otherwise read the Pods; after ErrUnusable open the
// store again first. The comment of [ErrNoSpace] says when nothing was changed.
//
// [ValidateName] checks every Pod name passed in. The error for a bad one matches
// [ErrInvalidName]. Returned metadata is in normal form, has its Version set, belongs
// to the caller, and shares memory with nothing that the store keeps. What a caller
// passes in still belongs to the caller, who may use it again: no method changes or keeps
// it.
//
// Make a change that can be written as a [Change] with Apply, or with the functions
// over it: [Do], [Write], [LinkPeers], [UnlinkPeers]. Use Update for the rest.
type MetadataStore interface {
	// Read returns one Pod's metadata, whole. The error matches ErrNotFound when
	// there is no such Pod, and ErrCorrupt when what is stored of it is damaged. Use
	// [ReadPart] to leave out what is not needed.
	Read(ctx context.Context, name string) (*Metadata, error)

	// List returns the names of all Pods as they are at one moment, sorted by bytes,
	// damaged ones included. List may return the names that it could read together with
	// an error that matches ErrCorrupt.
	List(ctx context.Context) ([]string, error)

	// Apply makes all of the changes or none, in order, as one atomic step. Several
	// may name one Pod. The result has one element for each change. opts may be nil.
	//
	// Nothing is changed if one change breaks a rule ([Prepare]: ErrInvalidName or
	// ErrInvalid), if a condition does not hold (the error of the [Condition], which
	// names the Pod), or if a change needs what is stored of a Pod that is damaged
	// (ErrCorrupt). [Put], [Delete] and [Remove] do not need it, except under the
	// condition [AtRevision]. A store that cannot change several Pods at once fails with
	// [errors.ErrUnsupported].
	//
	// A Pod that the changes leave as it was is not written and keeps its Version.
	// Every other Pod gets a new Revision, all of them with the same Number.
	Apply(ctx context.Context, changes []Change, opts *ApplyOptions) ([]Applied, error)

	// Update reads one Pod, calls edit to change it, and writes the result, as one atomic
	// step: nobody changes that Pod between the read and the write. If the Pod is
	// missing, edit gets metadata with only the name, and Update creates the Pod even if
	// edit changes nothing. If the Pod exists and edit changes nothing, nothing is
	// written. The name cannot be changed: what edit does to PodName is ignored. If edit
	// returns an error, Update returns it, wrapped or as it is, and nothing is changed.
	//
	// Update returns the resulting metadata, which may share memory with what edit
	// assigned to its fields. The methods of [Metadata], such as [Metadata.SetChildren],
	// copy what they are given.
	//
	// edit may be called several times, after conflicts with other writers, so it must
	// depend on nothing but its argument. It must not use the store, not even to read,
	// must not keep its argument, and must return: it must not end its goroutine, as
	// t.FailNow does. A panic in edit reaches the caller of this Update, which changes
	// nothing; other callers do not notice it. edit is not called for a damaged Pod: the
	// error matches ErrCorrupt.
	Update(ctx context.Context, name string, edit func(*Metadata) error) (*Metadata, error)
}

// Lister is the optional ability to read all Pods in one pass. Use [All].
type Lister interface {
	// All yields every Pod in the order of List. The sequence holds no lock and
	// no transaction while it yields, so the caller may use the store in the
	// loop. Each Pod is as it was at one moment during the iteration, different Pods
	// perhaps at different moments: see [Snapshotter] for one moment of all. A Pod
	// that is deleted meanwhile may be left out.
	//
	// A Pod that cannot be read is yielded as a nil Metadata and an *Error that
	// names it, and the iteration goes on. An error that concerns no single Pod
	// (its Pod is "") comes last. It may be the context's, or that of a store that was
	// closed in the meantime: then Pods may be left out.
	All(ctx context.Context, opts ReadOptions) iter.Seq2[*Metadata, error]
}

// ReadOptions name what a reader does not need.
type ReadOptions struct {
	// OmitManifest leaves Manifest nil. A backend that can does not read it.
	OmitManifest bool
	// OmitReclaimed leaves Reclaimed nil. A backend that can does not read it: the
	// history may be long.
	OmitReclaimed bool
}

// Part returns a copy of m without what o leaves out.
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

// PartReader is the optional ability to read a part of a Pod in less time. Use
// [ReadPart].
type PartReader interface {
	// ReadPart is [MetadataStore].Read without what opts leave out. The result has opts
	// in Omitted, and no store writes it. Damage of what was left out may go unnoticed.
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

// PodUpdater is the optional ability to edit several named Pods in one atomic step.
// Use [UpdatePods].
type PodUpdater interface {
	// UpdatePods is [MetadataStore].Update for several Pods at once: all changes
	// are made or none. pods[i] is the Pod named names[i], or nil if it does not
	// exist: unlike Update, UpdatePods does not create a Pod that edit leaves nil. edit
	// may change what an element points to. It may set an element to other metadata, new
	// or another element's, which creates or replaces the Pod, or to nil, which deletes
	// it. PodName is set to names[i] in any case. UpdatePods returns the resulting
	// elements.
	//
	// No names, or a name that is given twice, fail with ErrInvalid. If one of the Pods
	// is damaged, the error matches ErrCorrupt and names the Pod, and nothing is changed.
	UpdatePods(ctx context.Context, names []string, edit func(pods []*Metadata) error) ([]*Metadata, error)
}

// BatchWriter is the optional ability of a store that cannot change several Pods at
// once to write many of them in less time than one Apply for each takes.
type BatchWriter interface {
	// WriteBatch makes each [Put] as an Apply of its own, on the Pod that its metadata
	// names. Each Pod is written whole or not at all. When it returns, every Put that
	// succeeded is durable. The result has one error for each element, nil if it was
	// written.
	WriteBatch(ctx context.Context, puts []Put) []error
}

// Rooted is the optional ability to name the directory that holds the Pods. Use
// [RootDir].
type Rooted interface {
	// RootDir is that directory, as the backend was given it, or "" if the store is
	// in no directory.
	RootDir() string
}

// Snapshotter is the optional ability to read one moment of the whole store.
type Snapshotter interface {
	// Snapshot returns a store that can only be read. It holds what the store held at
	// one moment, not before Snapshot was called. Changing it fails with ErrReadOnly.
	// Close the closer to free it. The package of the backend says whether a snapshot
	// outlives the store.
	Snapshot(ctx context.Context) (MetadataStore, io.Closer, error)
}

// RootDir is the directory that holds the Pods of s, or "" if s is in no directory:
// see [Rooted].
func RootDir(s MetadataStore) string {
	if r, ok := s.(Rooted); ok {
		return r.RootDir()
	}
	return ""
}

// UpdatePods edits several named Pods in one atomic step: see [PodUpdater]. For a
// store without that ability the error matches [errors.ErrUnsupported].
func UpdatePods(ctx context.Context, s MetadataStore, names []string, edit func(pods []*Metadata) error) ([]*Metadata, error) {
	if u, ok := s.(PodUpdater); ok {
		return u.UpdatePods(ctx, names, edit)
	}
	return nil, &Error{Op: "update pods", Err: errors.ErrUnsupported}
}

// All yields every Pod of s: in one pass if s is a [Lister], otherwise by one Read for
// each name of List. Both ways keep the promises of [Lister].
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
