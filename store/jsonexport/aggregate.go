package jsonexport

import (
	"errors"
	"regexp"

	"podstore/store"
)

// Later versions of the program before podstore write another layout, which is not a
// directory of Pods:
//
//	{root}/{id}/worker.json         what the program knows of the worker
//	           /metadata.json       named worker-runtime-{id}, in the naming Workers
//	           /session/            its session logs
//
// The id is a UUID, in the first versions a number. To take metadata.json alone would
// lose the rest, and to write it alone would contradict the rest.
const (
	aggregateFile   = "worker.json"
	aggregatePrefix = "worker-runtime-"
)

var errAggregate = errors.New("is a worker of the aggregate layout, which keeps worker.json and the session beside metadata.json: podstore would lose them, and does not read or write such a tree; leave it to the program that wrote it")

var workerID = regexp.MustCompile(`^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+)$`)

// aggregate returns an error for a directory that is a worker of that layout.
func (p *podFiles) aggregate(name string) error {
	if workerID.MatchString(name) && p.root.Has(name, aggregateFile) {
		return p.aggregateError(name)
	}
	return nil
}

func (p *podFiles) aggregateError(name string) *store.Error {
	return &store.Error{Pod: name, Path: p.dir(name), Kind: store.ErrFormat, Err: errAggregate}
}

// refuseAggregate returns an error where any directory is a worker of that layout:
// Pods are not written among them.
func (p *podFiles) refuseAggregate() error {
	entries, err := p.root.Entries(p.path)
	if err != nil {
		return &store.Error{Path: p.path, Err: err}
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := p.aggregate(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}
