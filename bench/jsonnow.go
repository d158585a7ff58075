package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"podstore/store"
	"podstore/store/podjson"
)

func jsonNowCandidate() *candidate {
	return &candidate{
		name: "json-now", layout: "json-now",
		what:    "`{pod}/metadata.json` as the incumbent writes it today: read, parse, edit, print, truncate and write (encoding/json, the manifest as a tree of values)",
		promise: "**none**: not synced, and a crash can leave an empty file",
		open:    func(dir string) (pods, error) { return &jsonNow{root: dir}, nil },
	}
}

// document is metadata.json as encoding/json reads it, the manifest as a tree of
// values, which is what the incumbent holds.
type document struct {
	PodName   string         `json:"pod_name"`
	Active    *activeField   `json:"active,omitempty"`
	Children  []childField   `json:"spawned_children,omitempty"`
	Reclaimed []formerField  `json:"reclaimed_children,omitempty"`
	Peers     []peerField    `json:"peers,omitempty"`
	Manifest  map[string]any `json:"resolved_manifest_snapshot,omitempty"`
}

type (
	activeField struct {
		SessionID store.SessionID  `json:"session_id"`
		SegmentID *store.SegmentID `json:"segment_id,omitempty"`
	}
	childField struct {
		PodName         string      `json:"pod_name"`
		SocketPath      string      `json:"socket_path"`
		ScopeDelegated  []ruleField `json:"scope_delegated"`
		CallbackAddress string      `json:"callback_address"`
	}
	formerField struct {
		PodName        string      `json:"pod_name"`
		ScopeDelegated []ruleField `json:"scope_delegated"`
	}
	peerField struct {
		PodName string `json:"pod_name"`
	}
	ruleField struct {
		Target     string `json:"target"`
		Permission string `json:"permission"`
		Recursive  bool   `json:"recursive"`
	}
)

// metadata converts through JSON, by the strict decoder.
func (d *document) metadata() (*store.Metadata, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	return podjson.Decode(data)
}

// jsonNow is the directory as it is written today.
type jsonNow struct {
	root  string
	locks stripes
}

// writeTree makes a directory of Pods, and everything durable at the end.
func writeTree(root string, all iter.Seq[*store.Metadata]) error {
	var buf []byte
	for m := range all {
		dir := filepath.Join(root, m.PodName)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		buf = podjson.Append(buf[:0], m)
		if err := os.WriteFile(filepath.Join(dir, "metadata.json"), buf, 0o600); err != nil {
			return err
		}
	}
	return syncFS(root)
}

func (p *jsonNow) load(all iter.Seq[*store.Metadata]) error { return writeTree(p.root, all) }

func (p *jsonNow) file(pod string) string { return filepath.Join(p.root, pod, "metadata.json") }

func (p *jsonNow) readDocument(pod string) (*document, error) {
	data, err := os.ReadFile(p.file(pod))
	if err != nil {
		return nil, err
	}
	d := new(document)
	return d, json.Unmarshal(data, d)
}

func (p *jsonNow) setPeer(pod, peer string, there bool) error {
	lock := p.locks.of(pod)
	lock.Lock()
	defer lock.Unlock()
	d, err := p.readDocument(pod)
	if err != nil {
		return err
	}
	m := &store.Metadata{PodName: pod}
	for _, f := range d.Peers {
		m.Peers = append(m.Peers, store.Peer(f))
	}
	if err := setPeer(m, peer, there); err != nil {
		return err
	}
	d.Peers = d.Peers[:0]
	for _, f := range m.Peers {
		d.Peers = append(d.Peers, peerField(f))
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return err
	}
	return os.WriteFile(p.file(pod), out.Bytes(), 0o600)
}

func (p *jsonNow) read(pod string) (any, error) { return p.readDocument(pod) }

func (p *jsonNow) list() ([]string, error) {
	entries, err := os.ReadDir(p.root)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() || store.ValidateName(e.Name()) != nil {
			continue
		}
		switch _, err := os.Lstat(p.file(e.Name())); {
		case err == nil:
			names = append(names, e.Name())
		case !errors.Is(err, os.ErrNotExist):
			return nil, err
		}
	}
	slices.Sort(names)
	return names, nil
}

func (p *jsonNow) all(visit func(any) error) error {
	names, err := p.list()
	if err != nil {
		return err
	}
	for _, name := range names {
		d, err := p.readDocument(name)
		if err == nil {
			err = visit(d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *jsonNow) close() error { return nil }
