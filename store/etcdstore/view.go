package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/internal/codec"
)

// view reads the store at one revision, or, with 0, as it is.
type view struct {
	s   *Store
	rev int64
}

type moment struct {
	rev    int64  // the revision of the whole
	epoch  int64  // the revision of format, 0 where there is none yet
	format uint64 // the version
	pods   []*pod
}

func (v view) get(key string, opts ...clientv3.OpOption) clientv3.Op {
	if v.rev > 0 {
		opts = append(opts, clientv3.WithRev(v.rev))
	}
	return clientv3.OpGet(key, opts...)
}

// txn sends reading operations as one request. In front of them it reads the format
// version and checks it.
func (v view) txn(ctx context.Context, op, pod string, ops []clientv3.Op) (*moment, [][]*mvccpb.KeyValue, error) {
	ops = append([]clientv3.Op{v.get(v.s.formatKey())}, ops...)
	resp, err := v.s.ask(ctx, op, pod, ops)
	if err != nil {
		return nil, nil, err
	}
	m := &moment{rev: resp.Header.Revision}
	if v.rev > 0 {
		m.rev = v.rev
	}
	found := make([][]*mvccpb.KeyValue, len(resp.Responses))
	for i, r := range resp.Responses {
		found[i] = r.GetResponseRange().GetKvs()
	}
	if format := found[0]; len(format) > 0 {
		m.epoch = format[0].ModRevision
		if m.format, err = v.s.checkFormat(format[0].Value); err != nil {
			return nil, nil, withOp(op, err)
		}
	}
	return m, found[1:], nil
}

// fetch reads Pods at one moment, with as many requests as the servers' limit demands.
// With deletions, it also reads for each Pod the key with the IDs that deleted it.
func (v view) fetch(ctx context.Context, op string, names []string, opts store.ReadOptions, withDeletions bool) (*moment, error) {
	f := fetcher{view: v, op: op, opts: opts, deletions: withDeletions}
	whole := new(moment)
	for part := range slices.Chunk(names, f.most()) {
		m, err := f.fetch(ctx, part)
		if err != nil {
			return nil, err
		}
		if f.rev = m.rev; whole.pods != nil {
			m.pods = append(whole.pods, m.pods...)
		}
		whole = m
	}
	return whole, nil
}

type fetcher struct {
	view
	op        string
	opts      store.ReadOptions
	deletions bool
}

// omitted returns the sub-keys that are left out, in their order.
func (f *fetcher) omitted() (subs []int) {
	if f.opts.OmitManifest {
		subs = append(subs, codec.Manifest)
	}
	if f.opts.OmitReclaimed {
		subs = append(subs, codec.Reclaimed)
	}
	return subs
}

// most returns how many Pods one request can read.
func (f *fetcher) most() int {
	each := 2 + len(f.omitted())
	if f.deletions {
		each++
	}
	return max(1, (f.s.opts.MaxTxnOps-1)/each)
}

func (f *fetcher) fetch(ctx context.Context, names []string) (*moment, error) {
	var ops []clientv3.Op
	for _, name := range names {
		from, end := f.s.valueDir(name), after(f.s.valueDir(name))
		ops = append(ops, f.get(f.s.podKey(name)))
		for _, sub := range f.omitted() {
			key := f.s.valueDir(name) + codec.SubKeys[sub]
			ops = append(ops, f.get(from, clientv3.WithRange(key)))
			from = key + "\x00"
		}
		ops = append(ops, f.get(from, clientv3.WithRange(end)))
		if f.deletions {
			ops = append(ops, f.get(f.s.prefix+deletedName(name)))
		}
	}
	concerned := ""
	if len(names) == 1 {
		concerned = names[0]
	}
	m, found, err := f.txn(ctx, f.op, concerned, ops)
	if err != nil {
		return nil, err
	}
	each := len(ops) / len(names)
	for i, name := range names {
		part := found[i*each : (i+1)*each]
		var bookkept *deletions
		if f.deletions {
			bookkept = f.s.deletionsIn(deletedName(name), part[each-1])
			part = part[:each-1]
		}
		p := f.s.newPod(name, part[0], slices.Concat(part[1:]...), f.opts)
		p.bookkept = bookkept
		m.pods = append(m.pods, p)
	}
	return m, nil
}

func (s *Store) deletionsIn(name string, found []*mvccpb.KeyValue) *deletions {
	if len(found) == 0 {
		return parseDeletions(s.prefix+name, name, nil, 0)
	}
	return parseDeletions(s.prefix+name, name, found[0].Value, found[0].ModRevision)
}

func (v view) read(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	const op = "read"
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := store.ValidateNames(op, []string{name}); err != nil {
		return nil, err
	}
	m, err := v.part(ctx, op, name, opts)
	return m, err
}

// part reads a part of one Pod.
func (v view) part(ctx context.Context, op, name string, opts store.ReadOptions) (*store.Metadata, error) {
	at, err := v.fetch(ctx, op, []string{name}, opts, false)
	if err != nil {
		return nil, err
	}
	p := at.pods[0]
	if !p.promotes() {
		return p.metadata(op)
	}
	m, err := v.part(ctx, op, name, store.ReadOptions{})
	if err != nil {
		return nil, err
	}
	return opts.Part(m), nil
}

// listPage is the number of names that one request reads.
const listPage = 1000

// list reads all names at one revision: see records.
func (v view) list(ctx context.Context) ([]string, int64, error) {
	records, rev, err := v.records(ctx, "list", false)
	var names []string
	for _, r := range records {
		names = append(names, r.name)
	}
	return names, rev, err
}

// recordOf is a Pod in a list.
type recordOf struct {
	name     string
	revision store.Revision
}

// records reads all names at one revision, which it also returns, and, if asked, the
// revisions of the Pods. If there are foreign keys among them, its error matches
// store.ErrCorrupt. If etcd compacts the revision meanwhile, records begins again,
// unless v is bound to it.
func (v view) records(ctx context.Context, op string, revisions bool) ([]recordOf, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	var records []recordOf
	var strange error
	dir := v.s.prefix + dirPods
	at, from := v, dir
	for restarts := 0; ; {
		opts := []clientv3.OpOption{clientv3.WithRange(after(dir)), clientv3.WithLimit(listPage)}
		if !revisions {
			opts = append(opts, clientv3.WithKeysOnly())
		}
		m, found, err := at.txn(ctx, op, "", []clientv3.Op{at.get(from, opts...)})
		if v.rev == 0 && errors.Is(err, rpctypes.ErrCompacted) && restarts < 10 {
			restarts++
			records, strange, at, from = nil, nil, v, dir
			continue
		}
		if err != nil {
			return records, at.rev, err
		}
		at.rev = m.rev
		for _, kv := range found[0] {
			name := string(kv.Key[len(dir):])
			if err := store.ValidateName(name); err != nil {
				strange = &store.Error{Op: op, Path: string(kv.Key), Kind: store.ErrCorrupt, Err: fmt.Errorf("a key that is not podstore's; delete it: %w", err)}
				continue
			}
			r := recordOf{name: name}
			if revisions {
				r.revision = store.Revision{Number: uint64(kv.ModRevision), Digest: digest(recordSum(kv.Value), codec.NameSum([]byte(name)))}
			}
			records = append(records, r)
		}
		if len(found[0]) < listPage {
			return records, at.rev, strange
		}
		from = string(found[0][listPage-1].Key) + "\x00"
	}
}

// One page of all holds as many Pods as take about pageBytes, estimated from the page
// before.
const (
	pageBytes = 2 << 20
	firstPage = 16
)

func (v view) all(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		names, rev, listErr := v.list(ctx)
		most := (&fetcher{view: v, opts: opts}).most()
		page := min(firstPage, most)
		at := view{s: v.s, rev: rev}
		for len(names) > 0 {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			part := names[:min(page, len(names))]
			m, err := at.fetch(ctx, "read", part, opts, false)
			if v.rev == 0 && at.rev > 0 && errors.Is(err, rpctypes.ErrCompacted) {
				at.rev = 0
				continue
			}
			if err != nil {
				yield(nil, err)
				return
			}
			at.rev = m.rev
			names = names[len(part):]
			size := 0
			for _, p := range m.pods {
				size += p.size()
				pod, err := p.metadata("read")
				if p.promotes() {
					pod, err = at.part(ctx, "read", p.name, opts)
				}
				if errors.Is(err, store.ErrNotFound) {
					continue
				}
				if !yield(pod, err) {
					return
				}
			}
			page = nextPage(page, most, size)
		}
		if listErr != nil {
			yield(nil, listErr)
		}
	}
}

func nextPage(page, most, size int) int {
	switch {
	case size > pageBytes:
		return max(1, page/2)
	case size < pageBytes/4:
		return min(most, page*2)
	}
	return page
}

// size returns the number of bytes read of a Pod.
func (p *pod) size() int {
	n := len(p.record)
	for _, v := range p.values {
		n += len(v)
	}
	return n
}

// now reads the store as it is at the moment of each request.
func (s *Store) now() view { return view{s: s} }
