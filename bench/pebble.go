package main

import (
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"podstore/store"
)

func pebbleCandidate() *candidate {
	return &candidate{
		name: "pebble", inMemory: true,
		what:    "Pebble, two keys a Pod so that an edit leaves the manifest alone, 64 MiB cache and memtable",
		promise: "durable (Sync; it groups commits itself, one sync each)",
		open: func(dir string) (pods, error) {
			cache := pebble.NewCache(64 << 20)
			defer cache.Unref()
			db, err := pebble.Open(dir, &pebble.Options{
				Cache: cache, MemTableSize: 64 << 20, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{},
			})
			return &pebblePods{db: db}, err
		},
	}
}

// quiet drops what a peer logs.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// pebblePods locks Pods by name: Pebble's batches do not notice that what they
// read has changed.
type pebblePods struct {
	db    *pebble.DB
	locks stripes
}

func (p *pebblePods) load(all iter.Seq[*store.Metadata]) error {
	batch := p.db.NewBatch()
	for m := range all {
		if err := batch.Set(smallKey(m.PodName), appendSmall(nil, m), nil); err != nil {
			return err
		}
		if err := batch.Set(manifestKey(m.PodName), m.Manifest, nil); err != nil {
			return err
		}
		if batch.Len() > 8<<20 {
			if err := batch.Commit(pebble.NoSync); err != nil {
				return err
			}
			batch = p.db.NewBatch()
		}
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return err
	}
	return p.db.Flush()
}

func (p *pebblePods) setPeer(pod, peer string, there bool) error {
	lock := p.locks.of(pod)
	lock.Lock()
	defer lock.Unlock()
	m, err := p.small(pod)
	if err != nil {
		return err
	}
	if err := setPeer(m, peer, there); err != nil {
		return err
	}
	return p.db.Set(smallKey(pod), appendSmall(nil, m), pebble.Sync)
}

func (p *pebblePods) small(pod string) (*store.Metadata, error) {
	value, closer, err := p.db.Get(smallKey(pod))
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return decodeSmall(pod, value)
}

func (p *pebblePods) read(pod string) (any, error) {
	m, err := p.small(pod)
	if err != nil {
		return nil, err
	}
	value, closer, err := p.db.Get(manifestKey(pod))
	if err != nil {
		return nil, err
	}
	m.Manifest = append([]byte(nil), value...)
	return m, closer.Close()
}

// each visits the keys that begin with prefix.
func (p *pebblePods) each(prefix string, visit func(pod string, value func() ([]byte, error)) error) error {
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: upTo(prefix)})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		if err := visit(string(it.Key()[len(prefix):]), it.ValueAndErr); err != nil {
			it.Close()
			return err
		}
	}
	return it.Close()
}

func (p *pebblePods) list() ([]string, error) {
	var names []string
	err := p.each("d/", func(pod string, _ func() ([]byte, error)) error {
		names = append(names, pod)
		return nil
	})
	return names, err
}

func (p *pebblePods) all(visit func(any) error) error {
	manifests, err := p.db.NewIter(&pebble.IterOptions{LowerBound: []byte("m/"), UpperBound: upTo("m/")})
	if err != nil {
		return err
	}
	defer manifests.Close()
	manifests.First()
	return p.each("d/", func(pod string, value func() ([]byte, error)) error {
		small, err := value()
		if err != nil {
			return err
		}
		m, err := decodeSmall(pod, small)
		if err != nil {
			return err
		}
		if manifests.Valid() && string(manifests.Key()[2:]) == pod {
			m.Manifest = append([]byte(nil), manifests.Value()...)
			manifests.Next()
		}
		return visit(m)
	})
}

func (p *pebblePods) close() error { return p.db.Close() }
