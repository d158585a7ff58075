package store

import (
	"context"
	"errors"
	"iter"
	"time"
)

// WatchQuiet is the longest pause of a watch: a synced receiver hears from its [Watcher]
// at least this often. If nothing changed, it gets a batch without events.
const WatchQuiet = 10 * time.Second

// Watcher is the optional ability to report changes as they happen. Use [Watch].
type Watcher interface {
	// Watch first yields every Pod as it is, then what changes. The batches up to the
	// first with Synced set are a list: after it the receiver has the store as it was at
	// one moment, not before Watch was called. Each later batch brings it to a later
	// moment, so all Pods that one change touched are in one batch.
	//
	// If a Pod changes several times, a watch may leave out some of its states, but never
	// the newest one. A deletion is an event, unless somebody creates the Pod again
	// first. The history of reclaimed children is never sent. The Metadata of an Event
	// has no history and is marked so (Omitted), so no store accepts it for writing.
	//
	// A batch with Resync set begins the list again: the receiver fell further behind
	// than the store remembers, too much changed at once, or the connection to the store
	// was lost. A Client of store/socketstore yields the differences in place of a
	// Resync where it can. When Synced comes again, Pods that no batch has named since
	// the Resync no longer exist: a list has no events for them.
	//
	// Only durable states are shown. The number of a Pod's revision does not go down
	// between two Resyncs. A slow receiver delays no writer and no other receiver. The
	// loop holds no lock and may use the store. If nothing changes for [WatchQuiet], a
	// batch without events comes.
	//
	// The sequence ends with an error and with nothing else: the context's, or the
	// store's, such as ErrClosed. A name that is not valid fails with ErrInvalidName,
	// one that is given twice with ErrInvalid. Each loop over the sequence is a watch of
	// its own.
	Watch(ctx context.Context, opts WatchOptions) iter.Seq2[Batch, error]
}

// WatchOptions limit what a watch yields. The zero value limits nothing.
type WatchOptions struct {
	// Pods are the names to watch, whether they exist or not. Nil means all, an empty
	// list none.
	Pods []string
	// OmitManifest leaves manifests out.
	OmitManifest bool
}

// Batch is what [Watcher].Watch yields.
type Batch struct {
	// Resync says that the list begins anew with this batch. The first batch of a watch
	// does not set it.
	Resync bool
	// Events are the Pods that are new or changed, each once.
	Events []Event
	// Synced says that after this batch the receiver has one moment of the store. It is
	// not set while a list goes on. The last batch of a list sets it, and so does every
	// batch after that.
	Synced bool
	// Number, if Synced is set, says how up to date the receiver is: it has every change
	// to the Pods it watches up to this Revision.Number. Number may be higher than the
	// Revision.Number of any Pod. It does not go down between two Resyncs. A batch
	// without events reports only Number.
	Number uint64
}

// Event is a Pod as it is now.
type Event struct {
	// Pod is its name. It is "" if Err concerns no single Pod: the store is damaged and
	// Pods have vanished from it.
	Pod string
	// Metadata is nil if the Pod does not exist (Err is nil) or cannot be read (Err says
	// why). All receivers share it: it must not be changed.
	Metadata *Metadata
	Err      error
}

// Watch watches s: see [Watcher]. For a store that cannot be watched, the only element
// is an error that matches [errors.ErrUnsupported].
func Watch(ctx context.Context, s MetadataStore, opts WatchOptions) iter.Seq2[Batch, error] {
	if w, ok := s.(Watcher); ok {
		return w.Watch(ctx, opts)
	}
	return func(yield func(Batch, error) bool) {
		yield(Batch{}, &Error{Op: "watch", Err: errors.ErrUnsupported})
	}
}
