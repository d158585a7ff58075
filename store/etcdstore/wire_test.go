package etcdstore_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// wire stands between a client and its connection. It counts requests and makes those
// that change something go wrong. The server is real.
type wire struct {
	reads, writes atomic.Int64

	mu   sync.Mutex
	fate func(n int64) fate // of the n-th write, from 1; nil: all arrive
	late sync.WaitGroup     // requests that are still to arrive
	made atomic.Int64       // late ones that the server made
	deaf atomic.Bool        // nothing that only reads arrives
}

// fate is what becomes of a request.
type fate struct {
	lostRequest bool
	lostAnswer  bool
	late        time.Duration // the request arrives, after the client has given up
	refusal     error         // what the client is told, whatever the server did
	before      func()        // called before the request is sent
	between     func()        // called after the request arrived, before its answer is lost
}

var errLost = status.Error(codes.Unavailable, "error reading from server: connection reset by peer")

func (w *wire) tune(c *clientv3.Config) {
	c.DialOptions = append(c.DialOptions, grpc.WithChainUnaryInterceptor(w.intercept))
}

func (w *wire) set(f func(n int64) fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fate = f
	w.writes.Store(0)
}

func (w *wire) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if txn, ok := req.(*pb.TxnRequest); !ok || !writes(txn) {
		if w.reads.Add(1); w.deaf.Load() {
			return errLost
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	n := w.writes.Add(1)
	w.mu.Lock()
	var f fate
	if w.fate != nil {
		f = w.fate(n)
	}
	w.mu.Unlock()
	if f.before != nil {
		f.before()
	}
	switch {
	case f.lostRequest:
		return errLost
	case f.late > 0:
		w.late.Go(func() {
			time.Sleep(f.late)
			reply := &pb.TxnResponse{}
			if err := invoke(context.Background(), method, req, reply, cc); err == nil && reply.Succeeded {
				w.made.Add(1)
			}
		})
		return errLost
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	if f.between != nil {
		f.between()
	}
	switch {
	case f.lostAnswer:
		return errLost
	case f.refusal != nil:
		return f.refusal
	}
	return err
}

// writes reports whether a transaction changes something.
func writes(txn *pb.TxnRequest) bool {
	for _, op := range txn.Success {
		if op.GetRequestRange() == nil {
			return true
		}
	}
	return false
}

// first gives the first write a fate and lets all others pass.
func first(f fate) func(int64) fate {
	return func(n int64) fate {
		if n == 1 {
			return f
		}
		return fate{}
	}
}

// unreliable loses, by chance, half of all writes in one way or another.
func unreliable(seed uint64) func(int64) fate {
	r := rand.New(rand.NewPCG(seed, 0))
	return func(int64) fate {
		switch r.IntN(6) {
		case 0:
			return fate{lostRequest: true}
		case 1:
			return fate{lostAnswer: true}
		case 2:
			return fate{late: time.Duration(r.IntN(20)+1) * time.Millisecond}
		}
		return fate{}
	}
}
