package main

import (
	"context"
	"iter"

	"podstore/store"
	"podstore/store/jsonexport"
)

func jsonSafeCandidate() *candidate {
	return &candidate{
		name: "json-safe", layout: "json-now",
		what:    "the same directory through `jsonexport.Dir`: temporary file, fsync, rename, fsync of the directory; strict scanner instead of encoding/json",
		promise: "durable",
		open: func(dir string) (pods, error) {
			d, err := jsonexport.OpenDir(dir, nil)
			return &jsonSafe{d}, err
		},
	}
}

// jsonSafe is the directory made as safe as podstore.
type jsonSafe struct{ d *jsonexport.Dir }

func (p *jsonSafe) load(all iter.Seq[*store.Metadata]) error { return writeTree(p.d.RootDir(), all) }

func (p *jsonSafe) setPeer(pod, peer string, there bool) error {
	_, err := p.d.Update(context.Background(), pod, func(m *store.Metadata) error { return setPeer(m, peer, there) })
	return err
}

func (p *jsonSafe) read(pod string) (any, error) {
	return p.d.Read(context.Background(), pod)
}

func (p *jsonSafe) list() ([]string, error) { return p.d.List(context.Background()) }

func (p *jsonSafe) all(visit func(any) error) error { return visitAll(p.d, visit) }

func (p *jsonSafe) close() error { return nil }
