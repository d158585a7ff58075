package socketstore

import (
	"bytes"

	"podstore/store"
	"podstore/store/podjson"
)

// pod is one Pod as it is at some moment, or will be. It is not changed.
type pod struct {
	m        *store.Metadata // in normal form; nil: it does not exist
	version  version
	manifest version // the hash of its manifest; absent where it has none
}

var nobody = &pod{}

// podOf is a Pod that is m, which must be in normal form and is kept, or nobody for
// nil. Of another state of it, like, which may be nil, it takes what is the same.
func podOf(m *store.Metadata, like *pod) *pod {
	switch {
	case m == nil:
		return nobody
	case like == nil || like.m == nil:
		like = nil
	case like.m.Equal(m):
		return like
	}
	p := &pod{m: m, version: versionOf(m)}
	if like != nil && bytes.Equal(m.Manifest, like.m.Manifest) {
		p.manifest = like.manifest
	} else {
		p.manifest = manifestOf(m)
	}
	return p
}

// manifestOf is the hash of a manifest.
func manifestOf(m *store.Metadata) version {
	if m.Manifest == nil {
		return absent
	}
	return hashOf(m.Manifest)
}

// become is the Pod when it has become m, in normal form, of which it keeps a copy.
func (p *pod) become(m *store.Metadata) *pod {
	if m == nil {
		return nobody
	}
	if p.m == nil || !bytes.Equal(p.m.Manifest, m.Manifest) {
		return podOf(m.Clone(), p)
	}
	bare := *m
	bare.Manifest = nil
	c := bare.Clone()
	c.Manifest = p.m.Manifest
	return podOf(c, p)
}

// append appends the Pod's lines of an answer to somebody who has the manifest of
// this hash.
func (p *pod) append(dst []byte, name string, has version) []byte {
	it := item{name: name, compared: true, version: p.version}
	if p.manifest == has {
		it.manifest = has
	}
	dst = it.append(dst)
	if p.m == nil {
		return dst
	}
	return appendMetadata(dst, p.m, it.manifest != absent)
}

// appendMetadata appends the document of m on one line, with or without its
// manifest.
func appendMetadata(dst []byte, m *store.Metadata, omitManifest bool) []byte {
	if omitManifest {
		bare := *m
		bare.Manifest = nil
		m = &bare
	}
	canonical(m, func(document []byte) { dst = appendDocument(dst, document) })
	return dst
}

// versionOf is the version of metadata in normal form, or of nil.
func versionOf(m *store.Metadata) (v version) {
	if m != nil {
		canonical(m, func(document []byte) { v = hashOf(document) })
	}
	return v
}

// canonical calls use with the document of m, which it must not keep.
func canonical(m *store.Metadata, use func(document []byte)) {
	b := borrow()
	defer b.giveBack()
	b.bytes = podjson.Append(b.bytes, m)
	use(b.bytes)
}
