package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/internal/codec"
)

// view reads the store: at one revision, or for 0 as it is.
type view struct {
	s   *Store
	rev int64
}

// moment is what one request has read.
type moment struct {
	rev   int64 // the revision of the whole
	epoch int64 // the revision of format, 0 where there is none yet
	pods  []*pod
}

func (v view) get(key string, opts ...clientv3.OpOption) clientv3.Op {
	if v.rev > 0 {
		opts = append(opts, clientv3.WithRev(v.rev))
	}
	return clientv3.OpGet(key, opts...)
}

// txn sends reading operations as one request, after one for the format, which it
// judges.
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
		if err := v.s.judgeFormat(format[0].Value); err != nil {
			return nil, nil, withOp(op, err)
		}
	}
	return m, found[1:], nil
}

// fetch reads Pods at one moment.
func (v view) fetch(ctx context.Context, op string, names []string, opts store.ReadOptions) (*moment, error) {
	var ops []clientv3.Op
	for _, name := range names {
		dir := v.s.valueDir(name)
		ops = append(ops, v.get(v.s.podKey(name)))
		if opts.OmitManifest {
			manifest := dir + codec.SubKeys[codec.Manifest]
			ops = append(ops, v.get(dir, clientv3.WithRange(manifest)), v.get(manifest+"\x00", clientv3.WithRange(after(dir))))
		} else {
			ops = append(ops, v.get(dir, clientv3.WithRange(after(dir))))
		}
	}
	concerned := ""
	if len(names) == 1 {
		concerned = names[0]
	}
	m, found, err := v.txn(ctx, op, concerned, ops)
	if err != nil {
		return nil, err
	}
	each := len(ops) / len(names)
	for i, name := range names {
		part := found[i*each : (i+1)*each]
		values := part[1]
		if opts.OmitManifest {
			values = append(values, part[2]...)
		}
		p := v.s.newPod(name, part[0], values)
		p.partial = opts.OmitManifest
		m.pods = append(m.pods, p)
	}
	return m, nil
}

func (v view) read(ctx context.Context, name string) (*store.Metadata, error) {
	const op = "read"
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := judge(op, []string{name}); err != nil {
		return nil, err
	}
	at, err := v.fetch(ctx, op, []string{name}, store.ReadOptions{})
	if err != nil {
		return nil, err
	}
	m, err := at.pods[0].metadata()
	return m, readErr(op, name, err)
}

// listPage is how many names one request reads.
const listPage = 1000

// list reads all names at one revision, which it returns as well. When that is
// compacted meanwhile it begins anew, unless v is bound to it.
func (v view) list(ctx context.Context) ([]string, int64, error) {
	const op = "list"
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	var names []string
	var strange error
	dir := v.s.prefix + dirPods
	at, from := v, dir
	for restarts := 0; ; {
		m, found, err := at.txn(ctx, op, "", []clientv3.Op{
			at.get(from, clientv3.WithRange(after(dir)), clientv3.WithLimit(listPage), clientv3.WithKeysOnly()),
		})
		if v.rev == 0 && errors.Is(err, rpctypes.ErrCompacted) && restarts < 10 {
			restarts++
			names, strange, at, from = nil, nil, v, dir
			continue
		}
		if err != nil {
			return names, at.rev, err
		}
		at.rev = m.rev
		for _, kv := range found[0] {
			name := string(kv.Key[len(dir):])
			if err := store.ValidateName(name); err != nil {
				strange = &store.Error{Op: op, Path: string(kv.Key), Kind: store.ErrCorrupt, Err: fmt.Errorf("a key that is not podstore's; delete it: %w", err)}
				continue
			}
			names = append(names, name)
		}
		if len(found[0]) < listPage {
			return names, at.rev, strange
		}
		from = string(found[0][listPage-1].Key) + "\x00"
	}
}

// A page of all is as many Pods as give about these many bytes, from what the last
// one gave.
const (
	pageBytes = 2 << 20
	firstPage = 16
)

func (v view) all(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		names, rev, listErr := v.list(ctx)
		perPod := 2
		if opts.OmitManifest {
			perPod = 3
		}
		most := max(1, (v.s.opts.MaxTxnOps-1)/perPod)
		page := min(firstPage, most)
		at := view{s: v.s, rev: rev}
		for len(names) > 0 {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			part := names[:min(page, len(names))]
			m, err := at.fetch(ctx, "read", part, opts)
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
				pod, err := p.metadata()
				if errors.Is(err, errMissing) {
					continue
				}
				if !yield(pod, readErr("read", p.name, err)) {
					return
				}
			}
			switch {
			case size > pageBytes:
				page = max(1, page/2)
			case size < pageBytes/4:
				page = min(most, page*2)
			}
		}
		if listErr != nil {
			yield(nil, listErr)
		}
	}
}

// size is how many bytes were read of a Pod.
func (p *pod) size() int {
	n := len(p.record)
	for _, v := range p.values {
		n += len(v)
	}
	return n
}
