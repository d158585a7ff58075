package etcdstore

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"podstore/store"
)

const (
	tick      = store.WatchQuiet / 4 // between two questions how far etcd is
	maxSilent = 3 * tick             // without an answer for so long, ask another server
	maxNews   = 1 << 14              // with more names than this, a slow watcher lists again
)

// news holds what etcd has reported and the receiver has not taken yet. It keeps only
// names, so a slow receiver costs little.
type news struct {
	wake chan struct{} // holds an element if there is something to take

	mu    sync.Mutex
	names map[string]struct{}
	rev   int64 // names has every change up to this revision
	told  bool  // etcd itself has confirmed rev since the last take
	over  bool  // nothing more will come, or names were dropped: list again
}

// watches numbers the watches of etcd. Watches with different metadata share no stream,
// so a new watch leaves behind a stream that hangs.
var watches atomic.Uint64

func (n *news) take() (names []string, rev int64, told, over bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name := range n.names {
		names = append(names, name)
	}
	clear(n.names)
	told, n.told = n.told, false
	return names, n.rev, told, n.over
}

// gather collects what etcd reports. If etcd is silent, it asks how far etcd is.
func (n *news) gather(ctx context.Context, s *Store, wants func(string) bool) {
	defer func() {
		n.mu.Lock()
		n.over = true
		n.mu.Unlock()
		n.nudge()
	}()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "podstore-watch", strconv.FormatUint(watches.Add(1), 10)))
	defer cancel()
	ctx = clientv3.WithRequireLeader(ctx)
	dir := s.prefix + dirPods
	begun := time.AfterFunc(maxSilent, cancel)
	told := s.client.Watch(ctx, dir, clientv3.WithRange(after(dir)), clientv3.WithRev(n.rev+1))
	begun.Stop()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for heard := time.Now(); time.Since(heard) < maxSilent; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			asked, cancel := context.WithTimeout(ctx, tick/2)
			_ = s.client.RequestProgress(asked)
			cancel()
		case resp, ok := <-told:
			if !ok || resp.Err() != nil {
				return
			}
			heard = time.Now()
			n.mu.Lock()
			if resp.IsProgressNotify() {
				n.rev, n.told = resp.Header.Revision, true
			}
			for _, e := range resp.Events { // whole revisions, perhaps several
				n.rev = e.Kv.ModRevision
				if name := string(e.Kv.Key[len(dir):]); wants(name) && store.ValidateName(name) == nil {
					n.names[name] = struct{}{}
				}
			}
			dropped := len(n.names) > maxNews
			n.mu.Unlock()
			if dropped {
				return
			}
			n.nudge()
		}
	}
}

func (n *news) nudge() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}
