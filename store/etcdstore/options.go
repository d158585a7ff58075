package etcdstore

import (
	"fmt"
	"time"

	"podstore/store"
)

// Options set limits. The zero value, and nil, are the defaults of etcd's servers.
type Options struct {
	// MaxTxnOps is how many operations the servers take in one transaction: their
	// --max-txn-ops. 0 means 128. A change takes one for each sub-key and one for each
	// Pod that it changes: 63 Pods of which one sub-key changes.
	MaxTxnOps int
	// MaxRequestBytes is how many bytes the servers take in one request: their
	// --max-request-bytes. 0 means 1.5 MiB. A client sends 2 MiB at most unless its
	// own MaxCallSendMsgSize is raised as well.
	MaxRequestBytes int
	// RequestTimeout is how long one request may take before it is given up and
	// made again. 0 means 5 s.
	RequestTimeout time.Duration
	// RetryFor is how long an operation goes on after conflicts with other writers
	// and after requests that failed, and, from then on, how long it tries to bring to
	// an end a change whose answer was lost; for the latter RequestTimeout is left when
	// the caller's context has ended. 0 means 30 s.
	RetryFor time.Duration
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	for _, d := range []struct {
		field *int
		value int
	}{{&out.MaxTxnOps, 128}, {&out.MaxRequestBytes, 3 << 19}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if out.RequestTimeout <= 0 {
		out.RequestTimeout = 5 * time.Second
	}
	if out.RetryFor <= 0 {
		out.RetryFor = 30 * time.Second
	}
	return out
}

// checkCount refuses, before anything is read, more Pods than one transaction can
// compare.
func (s *Store) checkCount(op string, names []string) error {
	if limit := s.opts.MaxTxnOps - 1; len(names) > limit {
		return &store.Error{Op: op, Kind: store.ErrTooLarge,
			Err: fmt.Errorf("%d Pods in one transaction, %d can be compared; change fewer at once, or raise the servers' --max-txn-ops and Options.MaxTxnOps", len(names), limit)}
	}
	return nil
}
