package etcdstore

import (
	"fmt"
	"time"

	"podstore/store"
)

// Options set limits. The zero value, and nil, match the defaults of etcd's servers.
type Options struct {
	// MaxTxnOps is the number of operations that the servers accept in one transaction:
	// their --max-txn-ops. 0 means 128. A change takes one for each sub-key and one for
	// each Pod that it changes: 63 Pods if one sub-key of each changes.
	MaxTxnOps int
	// MaxRequestBytes is the number of bytes that the servers accept in one request:
	// their --max-request-bytes. 0 means 1.5 MiB. A client sends at most 2 MiB unless
	// its own MaxCallSendMsgSize is raised as well.
	MaxRequestBytes int
	// RequestTimeout is the time for one request. After it the store gives the request
	// up and makes it again. 0 means 5 s.
	RequestTimeout time.Duration
	// RetryFor is how long an operation keeps trying after conflicts with other writers
	// and after failed requests. If the answer to a change is lost, the store takes as
	// long again, from then on, to find out its outcome, or RequestTimeout once the
	// caller's context has ended. 0 means 30 s.
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

// checkCount refuses more Pods than one transaction can compare, before anything is
// read.
func (s *Store) checkCount(op string, names []string) error {
	if limit := s.opts.MaxTxnOps - 1; len(names) > limit {
		return &store.Error{Op: op, Kind: store.ErrTooLarge,
			Err: fmt.Errorf("%d Pods in one transaction, %d can be compared; change fewer at once, or raise the servers' --max-txn-ops and Options.MaxTxnOps", len(names), limit)}
	}
	return nil
}
