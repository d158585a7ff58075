package store

import (
	"context"
	"errors"
	"iter"
)

// Watcher is the optional ability to be told what changes. Use [Watch].
type Watcher interface {
	// Watch yields first every Pod as it is, then what changes. The batches before and
	// with the first that has Synced set are a list: after it the receiver has the
	// store as it was at one moment. Each later batch brings it to a later moment, so a
	// change of several Pods is in one batch. A Pod that changes several times may be
	// given once, as it was last; a deletion is given unless the Pod is created again
	// before.
	//
	// A batch with Resync set begins the list anew: the receiver was slower than the
	// store keeps track, much changed at once, or the connection was lost. When Synced
	// comes again, Pods that were not named since Resync are gone.
	//
	// Nothing that is not durable is shown. No number of a Pod's revision goes down
	// between two Resyncs. The history is never sent: Metadata has it left out, and
	// cannot be written. A receiver may be slow; that costs no writer and no other
	// receiver anything. The loop holds no lock and may use the store.
	//
	// The sequence ends with an error: the context's, or the store's. Each loop over it
	// is a watch of its own.
	Watch(ctx context.Context, opts WatchOptions) iter.Seq2[Batch, error]
}

// WatchOptions say what a watcher is told. The zero value is everything.
type WatchOptions struct {
	// Pods are the names to watch, whether they exist or not; nil: all.
	Pods []string
	// OmitManifest leaves manifests out.
	OmitManifest bool
}

// Batch is what [Watcher] Watch yields.
type Batch struct {
	Resync bool
	// Events are of one moment, but in a list that is not synced yet. Each Pod is there
	// once.
	Events []Event
	Synced bool
	// Number is how far the receiver is once it is synced: every change whose
	// Revision.Number is not higher has been given, or does not concern what is
	// watched. A batch without events says that alone. It is 0 where the store keeps no
	// numbers.
	Number uint64
}

// Event is a Pod as it is now.
type Event struct {
	Pod string
	// Metadata is nil where the Pod does not exist, or Err says why it cannot be read.
	// All receivers share it: it must not be changed.
	Metadata *Metadata
	Err      error
}

// Watch watches s: see [Watcher]. A store that cannot be watched gives an error that
// matches [errors.ErrUnsupported].
func Watch(ctx context.Context, s MetadataStore, opts WatchOptions) iter.Seq2[Batch, error] {
	if w, ok := s.(Watcher); ok {
		return w.Watch(ctx, opts)
	}
	return func(yield func(Batch, error) bool) {
		yield(Batch{}, &Error{Op: "watch", Err: errors.ErrUnsupported})
	}
}
