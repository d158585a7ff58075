package etcdstore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/internal/codec"
)

// transaction is one change of one or more Pods, as it is sent.
type transaction struct {
	s      *Store
	op     string
	read   *moment
	writer uint64
	enc    *codec.Encoder

	compares []clientv3.Cmp
	ops      []clientv3.Op
	bytes    int    // what it takes on the wire, at most
	largest  string // the Pod with the most of them
	share    int    // how many those are

	markPod string // the Pod whose record is its mark, or "": the mark is the key deleted
}

// What an operation, and the request around them, take on the wire besides keys
// and values, at most.
const (
	opOverhead      = 64
	requestOverhead = 1024
)

func (s *Store) newTransaction(op string, read *moment) *transaction {
	t := &transaction{s: s, op: op, read: read, writer: rand.Uint64(), enc: codec.NewEncoder(), bytes: requestOverhead}
	t.compare(s.formatKey(), "=", read.epoch)
	for _, p := range read.pods {
		// The record's revision is the Pod's version. The values are compared too, and
		// that none was added: a foreign hand may have written them.
		dir := s.valueDir(p.name)
		t.compare(s.podKey(p.name), "=", p.rev)
		t.compare(dir, "<", read.rev+1)
	}
	return t
}

// compare makes the revision of a key, or of all keys below one that ends in a
// slash, a condition. That of an absent key is 0.
func (t *transaction) compare(key, result string, rev int64) {
	c := clientv3.Compare(clientv3.ModRevision(key), result, rev)
	if strings.HasSuffix(key, "/") {
		c = c.WithRange(after(key))
	}
	t.compares = append(t.compares, c)
	t.bytes += opOverhead + 2*len(key)
}

func (t *transaction) put(key string, value []byte) {
	t.ops = append(t.ops, clientv3.OpPut(key, string(value)))
	t.bytes += opOverhead + len(key) + len(value)
}

func (t *transaction) delete(key string, opts ...clientv3.OpOption) {
	t.ops = append(t.ops, clientv3.OpDelete(key, opts...))
	t.bytes += opOverhead + 2*len(key)
}

// set makes a Pod what m says, which must be in normal form: it puts and deletes
// the sub-keys that differ, and all of them where the Pod is damaged.
func (t *transaction) set(p *pod, m *store.Metadata) error {
	before := t.bytes
	_, err := p.metadata()
	damaged := err != nil
	next := record{writer: t.writer}
	changed := damaged
	dir := t.s.valueDir(p.name)
	for i, sub := range codec.SubKeys {
		payload := t.enc.Encode(m, i)
		if len(payload) > codec.MaxPayload {
			return &store.Error{Pod: p.name, Kind: store.ErrInvalid,
				Err: fmt.Errorf("%s has %d bytes as stored, the limit is %d", sub, len(payload), codec.MaxPayload)}
		}
		old := p.values[i]
		if !damaged && bytes.Equal(payload, codec.Payload(old)) {
			next.sums[i] = sumOf(old)
			continue
		}
		changed = true
		if payload == nil {
			if old != nil {
				t.delete(dir + sub)
			}
			continue
		}
		value := codec.Seal(p.nameSum, i, payload)
		next.sums[i] = sumOf(value)
		t.put(dir+sub, value)
	}
	if !changed {
		return nil
	}
	for _, key := range p.strange {
		t.delete(key)
	}
	t.put(t.s.podKey(p.name), next.seal(t.enc, p.nameSum))
	t.markPod = p.name
	if share := t.bytes - before; share > t.share {
		t.largest, t.share = p.name, share
	}
	return nil
}

// remove deletes everything that is kept of a Pod.
func (t *transaction) remove(p *pod) {
	if p.missing() {
		return
	}
	dir := t.s.valueDir(p.name)
	t.delete(t.s.podKey(p.name))
	t.delete(dir, clientv3.WithRange(after(dir)))
}

// finish adds what belongs to no Pod, and refuses a transaction that the servers
// would refuse.
func (t *transaction) finish() error {
	if t.markPod == "" {
		t.put(t.s.deletedKey(), sealBook(keyDeleted, t.enc.Uints(t.writer)))
	}
	if t.read.epoch == 0 {
		t.put(t.s.formatKey(), formatValue())
	}
	if n := max(len(t.ops), len(t.compares)); n > t.s.opts.MaxTxnOps {
		return t.tooLarge("%d operations in one transaction, the limit is %d; change fewer Pods at once, or raise the servers' --max-txn-ops and Options.MaxTxnOps", n, t.s.opts.MaxTxnOps)
	}
	if t.bytes > t.s.opts.MaxRequestBytes {
		return t.tooLarge("about %d bytes in one request, the limit is %d; change less at once, or raise the servers' --max-request-bytes, Options.MaxRequestBytes and the client's MaxCallSendMsgSize", t.bytes, t.s.opts.MaxRequestBytes)
	}
	return nil
}

// tooLarge is the error of a transaction. It names a Pod that is too much by
// itself.
func (t *transaction) tooLarge(format string, args ...any) error {
	e := &store.Error{Op: t.op, Kind: store.ErrTooLarge, Err: fmt.Errorf(format, args...)}
	switch {
	case len(t.read.pods) == 1:
		e.Pod = t.read.pods[0].name
	case t.share > t.s.opts.MaxRequestBytes:
		e.Pod = t.largest
	}
	return e
}

// judgeCount refuses, before anything is read, more Pods than one transaction can
// compare.
func (s *Store) judgeCount(op string, names []string) error {
	if limit := (s.opts.MaxTxnOps - 1) / 2; len(names) > limit {
		return &store.Error{Op: op, Kind: store.ErrTooLarge,
			Err: fmt.Errorf("%d Pods in one transaction, %d can be compared; change fewer at once, or raise the servers' --max-txn-ops and Options.MaxTxnOps", len(names), limit)}
	}
	return nil
}

// mark is the key that tells whether the transaction was made.
func (t *transaction) mark() string {
	if t.markPod == "" {
		return t.s.deletedKey()
	}
	return t.s.podKey(t.markPod)
}
