package etcdstore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/internal/codec"
)

// transaction is the changes of one Apply as etcd gets them.
type transaction struct {
	*application
	moment *moment
	enc    *codec.Encoder

	before, after map[string]*store.Metadata
	records       map[string]*record       // of before
	version       map[string]store.Version // of each changed Pod, without the number
	noted         map[string]*deletions    // by key deleted/: the new value

	compares []clientv3.Cmp
	compared map[string]bool
	ops      []clientv3.Op
	bytes    int    // the most that it takes on the wire
	largest  string // the Pod that takes most of them
	share    int    // the bytes of that Pod
}

// The most that an operation, and the request around it, take on the wire besides keys
// and values.
const (
	opOverhead      = 64
	requestOverhead = 1024
)

func (s *Store) newTransaction(a *application, read *moment) *transaction {
	return &transaction{
		application: a, moment: read, enc: codec.NewEncoder(), bytes: requestOverhead,
		before: map[string]*store.Metadata{}, records: map[string]*record{},
		version: map[string]store.Version{}, noted: map[string]*deletions{}, compared: map[string]bool{},
	}
}

// compare makes the revision of a key a condition. An absent key has revision 0.
func (t *transaction) compare(key string, rev int64) {
	if t.compared[key] {
		return
	}
	t.compared[key] = true
	t.compares = append(t.compares, clientv3.Compare(clientv3.ModRevision(key), "=", rev))
	t.bytes += opOverhead + len(key)
}

func (t *transaction) put(key string, value []byte) {
	t.ops = append(t.ops, clientv3.OpPut(key, string(value)))
	t.bytes += opOverhead + len(key) + len(value)
}

func (t *transaction) delete(key string, opts ...clientv3.OpOption) {
	t.ops = append(t.ops, clientv3.OpDelete(key, opts...))
	t.bytes += opOverhead + 2*len(key)
}

// evaluate applies the changes to what was read and adds the operations for the
// differences.
func (t *transaction) evaluate() (err error) {
	damaged := map[string]error{}
	for _, p := range t.moment.pods {
		m, r, err := p.parse()
		switch {
		case err == nil:
			t.before[p.name], t.records[p.name] = m, r
		case errors.Is(err, errMissing):
		case errors.Is(err, store.ErrFormat):
			return readErr(opApply, p.name, err)
		default:
			damaged[p.name] = readErr("", p.name, err)
		}
	}
	if t.after, err = store.Evaluate(t.changes, t.before, damaged); err != nil {
		return err
	}
	now := time.Now()
	for _, p := range t.moment.pods {
		m, ok := t.after[p.name]
		was := t.before[p.name]
		switch {
		case !ok: // it no longer refers to a removed Pod
		case m == nil && !p.missing():
			t.remove(p)
		case m != nil && (was == nil || !m.Equal(was)):
			if err := t.set(p, m, now); err != nil {
				return err
			}
		default:
			t.after[p.name] = was
		}
	}
	if len(t.ops) == 0 {
		return nil
	}
	for _, p := range t.moment.pods {
		// A removed Pod that is as it was keeps no ID itself, and nobody would look for it
		// in the Pods that referred to it.
		if _, changed := t.version[p.name]; (p.missing() || !changed) && slices.Contains(t.removes, p.name) {
			t.note(p)
		}
		t.hold(p)
	}
	return nil
}

// set makes a Pod equal to m. It puts and deletes the sub-keys that differ, or all of
// them if the Pod is damaged.
func (t *transaction) set(p *pod, m *store.Metadata, now time.Time) error {
	bytesBefore := t.bytes
	was, old := t.before[p.name], t.records[p.name]
	next := record{}
	switch {
	case old != nil:
		next.stamp = old.stamp
	case p.rev > 0:
		next.stamp.Floor = uint64(p.rev) // a damaged Pod has lost its IDs
	default:
		next.stamp.Floor = uint64(p.bookkept.rev) // the Pod may have existed before that
	}
	next.stamp.SetTimes(store.NextVersion(was, t.changes, p.name, now))
	next.stamp.IDs = codec.AddID(next.stamp.IDs, &next.stamp.Floor, t.id, codec.MaxIDs)
	dir := t.s.valueDir(p.name)
	for i := range next.sums {
		if old != nil && p.unread(i) {
			next.sums[i] = old.sums[i]
			continue
		}
		sub := codec.SubKeys[i]
		payload := t.enc.Encode(m, i)
		if len(payload) > codec.MaxPayload {
			return &store.Error{Op: opApply, Pod: p.name, Kind: store.ErrInvalid,
				Err: fmt.Errorf("%s has %d bytes as stored, the limit is %d", sub, len(payload), codec.MaxPayload)}
		}
		stored := p.values[i]
		switch {
		case old != nil && !p.unread(i) && bytes.Equal(payload, codec.Payload(stored)):
			next.sums[i] = sumOf(stored)
		case payload == nil && (stored != nil || p.unread(i)):
			t.delete(dir + sub)
		case payload != nil:
			value := codec.Seal(p.nameSum, i, payload)
			next.sums[i] = sumOf(value)
			t.put(dir+sub, value)
		}
	}
	value := next.seal(t.enc, p.nameSum)
	t.put(t.s.podKey(p.name), value)
	t.version[p.name] = next.stamp.Version(digest(recordSum(value), p.nameSum))
	if share := t.bytes - bytesBefore; share > t.share {
		t.largest, t.share = p.name, share
	}
	return nil
}

// remove deletes all keys of a Pod.
func (t *transaction) remove(p *pod) {
	dir := t.s.valueDir(p.name)
	t.delete(t.s.podKey(p.name))
	t.delete(dir, clientv3.WithRange(after(dir)))
	t.version[p.name] = store.Version{}
	t.note(p)
}

// note adds the ID to those that deleted Pods.
func (t *transaction) note(p *pod) {
	if t.noted[p.bookkept.key] == nil {
		d := *p.bookkept
		d.ids = codec.AddID(slices.Clone(d.ids), &d.floor, t.id, codec.MaxIDs)
		t.noted[d.key] = &d
		t.put(d.key, d.seal(t.enc, deletedName(p.name)))
	}
}

// hold writes the key held of a Pod if the changes make others refer to it because it
// exists.
func (t *transaction) hold(p *pod) {
	_, changed := t.version[p.name]
	if changed || p.missing() || !slices.ContainsFunc(t.changes, func(c store.Change) bool { return c.Pod == p.name && c.If != store.Condition{} }) {
		return
	}
	for name := range t.version {
		if m := t.after[name]; m != nil && m.RefersTo(p.name) {
			t.put(t.s.valueDir(p.name)+keyHeld, nil)
			return
		}
	}
}

// finish adds the conditions of the transaction. It refuses one that the servers would
// refuse.
func (t *transaction) finish() error {
	t.compare(t.s.formatKey(), t.moment.epoch)
	for _, p := range t.moment.pods {
		t.compare(t.s.podKey(p.name), p.rev)
		if p.rev == 0 || t.noted[p.bookkept.key] != nil {
			t.compare(p.bookkept.key, p.bookkept.rev)
		}
		if slices.Contains(t.removes, p.name) {
			t.compare(t.s.valueDir(p.name)+keyHeld, p.held)
		}
	}
	if t.moment.format != formatVersion {
		t.put(t.s.formatKey(), formatValue())
	}
	if t.moment.format == 1 {
		t.delete(t.s.oldDeletedKey())
	}
	if n := max(len(t.ops), len(t.compares)); n > t.s.opts.MaxTxnOps {
		return t.tooLarge("%d operations in one transaction, the limit is %d; change fewer Pods at once, or raise the servers' --max-txn-ops and Options.MaxTxnOps", n, t.s.opts.MaxTxnOps)
	}
	if t.bytes > t.s.opts.MaxRequestBytes {
		return t.tooLarge("about %d bytes in one request, the limit is %d; change less at once, or raise the servers' --max-request-bytes, Options.MaxRequestBytes and the client's MaxCallSendMsgSize", t.bytes, t.s.opts.MaxRequestBytes)
	}
	return nil
}

// tooLarge is the error for a transaction beyond a limit. It names a Pod that alone is
// too much.
func (t *transaction) tooLarge(format string, args ...any) error {
	e := t.failure(store.ErrTooLarge, fmt.Errorf(format, args...))
	if t.share > t.s.opts.MaxRequestBytes {
		e.Pod = t.largest
	}
	return e
}

// applied returns the results of a transaction that was made at a revision, or that
// changed nothing.
func (t *transaction) applied(rev int64) []store.Applied {
	for name, v := range t.version {
		v.Revision.Number = uint64(rev)
		t.version[name] = v
		if m := t.after[name]; m != nil {
			m.Version = v
		}
	}
	applied := make([]store.Applied, len(t.changes))
	for i, c := range t.changes {
		a := store.Applied{Pod: c.Pod}
		m := t.after[c.Pod]
		if m != nil {
			a.Version = m.Version
		} else {
			a.Version = t.version[c.Pod]
		}
		if t.opts.Metadata {
			a.Metadata = m
		}
		applied[i] = a
	}
	return applied
}
