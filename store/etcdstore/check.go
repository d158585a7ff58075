package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
)

var isDeleted = regexp.MustCompile(`^deleted/[0-9a-f]{2}$`)

// Check reads everything below the prefix as it is at one moment. It calls report for
// each fault: a damaged Pod, whose error names it and matches [store.ErrCorrupt], a Pod
// that a newer version wrote ([store.ErrFormat]), and a key that belongs to nothing. It
// returns the number of Pods, and an error only if it could not go on.
func (s *Store) Check(ctx context.Context, report func(error)) (pods int, err error) {
	const op = "check"
	m, _, err := s.now().txn(ctx, op, "", nil)
	if err != nil {
		return 0, err
	}
	at := view{s: s, rev: m.rev}
	known := map[string]bool{}
	for m, err := range at.all(ctx, store.ReadOptions{}) {
		e, ok := errors.AsType[*store.Error](err)
		switch {
		case err == nil:
			known[m.PodName] = true
		case ok && e.Pod != "" && (errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrFormat)):
			known[e.Pod] = true
			report(err)
		case ok && errors.Is(err, store.ErrCorrupt): // a foreign key below pods/: the loop below reports it
		default:
			return len(known), err
		}
	}
	end := after(s.prefix)
	for from := s.prefix; ; {
		_, found, err := at.txn(ctx, op, "", []clientv3.Op{
			at.get(from, clientv3.WithRange(end), clientv3.WithLimit(listPage), clientv3.WithKeysOnly()),
		})
		if err != nil {
			return len(known), err
		}
		for _, kv := range found[0] {
			report := func(format string, args ...any) {
				report(&store.Error{Op: op, Path: string(kv.Key), Kind: store.ErrCorrupt, Err: fmt.Errorf(format, args...)})
			}
			name, own := strings.CutPrefix(string(kv.Key), s.prefix+dirPods)
			pod, _, isValue := s.splitValueKey(kv.Key)
			switch {
			case own:
				if err := store.ValidateName(name); err != nil {
					report("a key that is not podstore's; delete it: %w", err)
				}
			case isValue && !known[pod]:
				report("a value of Pod %q, which has no record; write or import the Pod again, or delete it", pod)
			case isValue, string(kv.Key) == s.formatKey(), string(kv.Key) == s.oldDeletedKey(), isDeleted.MatchString(strings.TrimPrefix(string(kv.Key), s.prefix)):
			default:
				report("a key that is not podstore's; delete it")
			}
		}
		if len(found[0]) < listPage {
			return len(known), nil
		}
		from = string(found[0][listPage-1].Key) + "\x00"
	}
}
