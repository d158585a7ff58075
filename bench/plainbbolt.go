package main

import (
	"errors"
	"iter"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
)

func bboltUpdateCandidate() *candidate {
	return &candidate{
		name: "bbolt-update", layout: "bbolt", inMemory: true,
		what:    "plain bbolt, a bucket a Pod and a key a field as podstore has them, default 4 KiB pages; `db.Update`",
		promise: "durable; values without checksums",
		open:    func(dir string) (pods, error) { return openBbolt(dir, (*bolt.DB).Update) },
	}
}

func bboltBatchCandidate() *candidate {
	return &candidate{
		name: "bbolt-batch", layout: "bbolt", inMemory: true,
		what:    "the same with `db.Batch` and its default delay of 10 ms",
		promise: "durable; may run an edit twice",
		open:    func(dir string) (pods, error) { return openBbolt(dir, (*bolt.DB).Batch) },
	}
}

// bboltPods is bbolt used plainly.
type bboltPods struct {
	db     *bolt.DB
	update func(*bolt.DB, func(*bolt.Tx) error) error
}

var errNoPod = errors.New("no such Pod")

func openBbolt(dir string, update func(*bolt.DB, func(*bolt.Tx) error) error) (pods, error) {
	db, err := bolt.Open(filepath.Join(dir, "plain.db"), 0o600, &bolt.Options{Timeout: time.Second})
	return &bboltPods{db, update}, err
}

func (p *bboltPods) load(all iter.Seq[*store.Metadata]) error {
	next, stop := iter.Pull(all)
	defer stop()
	for more := true; more; {
		err := p.db.Update(func(tx *bolt.Tx) error {
			for range 1000 {
				m, ok := next()
				if more = ok; !ok {
					return nil
				}
				b, err := tx.CreateBucket([]byte(m.PodName))
				if err != nil {
					return err
				}
				for _, kv := range []struct {
					key   string
					value []byte
				}{
					{"active", appendActive(nil, m.Active)}, {"children", appendChildren(nil, m.Children)},
					{"manifest", m.Manifest}, {"peers", appendPeers(nil, m.Peers)}, {"reclaimed", appendReclaimed(nil, m.Reclaimed)},
				} {
					if err := b.Put([]byte(kv.key), kv.value); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *bboltPods) setPeer(pod, peer string, there bool) error {
	return p.update(p.db, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(pod))
		if b == nil {
			return errNoPod
		}
		value, err := setPeerValue(pod, b.Get([]byte("peers")), peer, there)
		if err != nil {
			return err
		}
		return b.Put([]byte("peers"), value)
	})
}

func loadBucket(pod string, b *bolt.Bucket) (*store.Metadata, error) {
	m := &store.Metadata{PodName: pod}
	r := new(reader)
	err := b.ForEach(func(k, v []byte) error {
		r.b = v
		switch string(k) {
		case "active":
			m.Active = r.active()
		case "children":
			m.Children = r.children()
		case "manifest":
			m.Manifest, r.b = append([]byte(nil), v...), nil
		case "peers":
			m.Peers = r.peers()
		case "reclaimed":
			m.Reclaimed = r.reclaimed()
		}
		return r.end()
	})
	return m, err
}

func (p *bboltPods) read(pod string) (any, error) {
	var m *store.Metadata
	err := p.db.View(func(tx *bolt.Tx) (err error) {
		b := tx.Bucket([]byte(pod))
		if b == nil {
			return errNoPod
		}
		m, err = loadBucket(pod, b)
		return err
	})
	return m, err
}

func (p *bboltPods) list() ([]string, error) {
	var names []string
	err := p.db.View(func(tx *bolt.Tx) error {
		c := tx.Cursor() // ForEach would open each bucket
		for name, _ := c.First(); name != nil; name, _ = c.Next() {
			names = append(names, string(name))
		}
		return nil
	})
	return names, err
}

func (p *bboltPods) all(visit func(any) error) error {
	return p.db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			m, err := loadBucket(string(name), b)
			if err == nil {
				err = visit(m)
			}
			return err
		})
	})
}

func (p *bboltPods) close() error { return p.db.Close() }
