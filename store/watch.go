package store

import (
	"context"
	"errors"
	"iter"
	"time"
)

// WatchQuiet is the longest time for which a [Watcher] yields nothing to a receiver
// that waits and is synced: a batch without events says that nothing changed.
const WatchQuiet = 10 * time.Second

// Watcher is the optional ability to be told what changes. Use [Watch].
type Watcher interface {
	// Watch yields first every Pod as it is, then what changes. The batches up to the
	// first that has Synced set are a list: after it the receiver has the store as it
	// was at one moment, not before Watch was called. Each later batch brings it to a
	// later moment, so a change of several Pods is in one batch. A Pod that changes
	// several times may be given once, as it was last; a deletion is given unless the
	// Pod is created again before.
	//
	// A batch with Resync set begins the list anew: the receiver was slower than the
	// store keeps track, much changed at once, or the connection was lost. When Synced
	// comes again, Pods that were not named since Resync are gone.
	//
	// Nothing that is not durable is shown. No number of a Pod's revision goes down
	// between two Resyncs. The history is never sent: Metadata has it left out, and
	// cannot be written. A receiver may be slow; that costs no writer and no other
	// receiver anything. The loop holds no lock and may use the store. Where nothing
	// changes for [WatchQuiet] a batch says so.
	//
	// The sequence ends with an error, and with nothing but an error: the context's, or
	// the store's, such as ErrClosed. A name that is not valid is refused with
	// ErrInvalidName, one that is given twice with ErrInvalid. Each loop over the
	// sequence is a watch of its own.
	Watch(ctx context.Context, opts WatchOptions) iter.Seq2[Batch, error]
}

// WatchOptions say what a watcher is told. The zero value is everything.
type WatchOptions struct {
	// Pods are the names to watch, whether they exist or not. Nil is all, an empty list
	// none.
	Pods []string
	// OmitManifest leaves manifests out.
	OmitManifest bool
}

// Batch is what [Watcher] Watch yields.
type Batch struct {
	// Resync says that the list begins anew with this batch.
	Resync bool
	// Events are what is new. Each Pod is there once.
	Events []Event
	// Synced says that the receiver is then at one moment of the store. It is set in
	// each batch but those of a list before its last.
	Synced bool
	// Number is, where Synced is set, how far the receiver is: every change whose
	// Revision.Number is not higher has been given, or does not concern what is
	// watched. It does not go down between two Resyncs. A batch without events says
	// that alone.
	Number uint64
}

// Event is a Pod as it is now.
type Event struct {
	// Pod is its name. It is "" where Err concerns no single Pod: the list is of a
	// damaged store from which Pods have vanished.
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
