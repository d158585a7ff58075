package main

import (
	"encoding/binary"
	"errors"

	"podstore/store"
)

// The peers' values, in a plain binary form: lengths and bytes, written and read
// without reflection, no checksum, nothing validated. It costs less than what
// podstore does, so that a peer never loses because of its codec.

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendRules(b []byte, rules []store.ScopeRule) []byte {
	b = binary.AppendUvarint(b, uint64(len(rules)))
	for _, r := range rules {
		b = appendString(appendString(b, r.Target), r.Permission)
		if r.Recursive {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return b
}

func appendActive(b []byte, a *store.ActiveSegment) []byte {
	switch {
	case a == nil:
		return append(b, 0)
	case a.SegmentID == nil:
		return append(append(b, 1), a.SessionID[:]...)
	}
	return append(append(append(b, 2), a.SessionID[:]...), a.SegmentID[:]...)
}

func appendChildren(b []byte, children []store.SpawnedChild) []byte {
	b = binary.AppendUvarint(b, uint64(len(children)))
	for i := range children {
		c := &children[i]
		b = appendString(appendString(b, c.PodName), c.SocketPath)
		b = appendString(appendRules(b, c.ScopeDelegated), c.CallbackAddress)
	}
	return b
}

func appendReclaimed(b []byte, reclaimed []store.ReclaimedChild) []byte {
	b = binary.AppendUvarint(b, uint64(len(reclaimed)))
	for i := range reclaimed {
		b = appendRules(appendString(b, reclaimed[i].PodName), reclaimed[i].ScopeDelegated)
	}
	return b
}

func appendPeers(b []byte, peers []store.Peer) []byte {
	b = binary.AppendUvarint(b, uint64(len(peers)))
	for _, p := range peers {
		b = appendString(b, p.PodName)
	}
	return b
}

// appendSmall is everything but name and manifest.
func appendSmall(b []byte, m *store.Metadata) []byte {
	b = appendActive(b, m.Active)
	b = appendChildren(b, m.Children)
	b = appendReclaimed(b, m.Reclaimed)
	return appendPeers(b, m.Peers)
}

// reader reads what the functions above append; it copies all it returns.
type reader struct {
	b   []byte
	bad bool
}

var errCodec = errors.New("value is not what was written")

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return make([]byte, min(n, 16))
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) string() string { return string(r.bytes(r.uint())) }

func (r *reader) active() *store.ActiveSegment {
	switch r.bytes(1)[0] {
	case 0:
		return nil
	case 1:
		return store.PendingSegment(store.SessionID(r.bytes(16)))
	}
	session := store.SessionID(r.bytes(16))
	return store.ActiveIn(session, store.SegmentID(r.bytes(16)))
}

func list[T any](r *reader, element func() T) []T {
	n := r.uint()
	if n == 0 || n > uint64(len(r.b)) {
		r.bad = r.bad || n > 0
		return nil
	}
	out := make([]T, n)
	for i := range out {
		out[i] = element()
	}
	return out
}

func (r *reader) rules() []store.ScopeRule {
	return list(r, func() store.ScopeRule {
		return store.ScopeRule{Target: r.string(), Permission: r.string(), Recursive: r.bytes(1)[0] == 1}
	})
}

func (r *reader) children() []store.SpawnedChild {
	return list(r, func() store.SpawnedChild {
		return store.SpawnedChild{PodName: r.string(), SocketPath: r.string(), ScopeDelegated: r.rules(), CallbackAddress: r.string()}
	})
}

func (r *reader) reclaimed() []store.ReclaimedChild {
	return list(r, func() store.ReclaimedChild {
		return store.ReclaimedChild{PodName: r.string(), ScopeDelegated: r.rules()}
	})
}

func (r *reader) peers() []store.Peer {
	return list(r, func() store.Peer { return store.Peer{PodName: r.string()} })
}

// end reports whether anything was not as it should be.
func (r *reader) end() error {
	if r.bad || len(r.b) > 0 {
		return errCodec
	}
	return nil
}

// decodeSmall reads what appendSmall wrote.
func decodeSmall(name string, b []byte) (*store.Metadata, error) {
	r := &reader{b: b}
	m := &store.Metadata{PodName: name, Active: r.active(), Children: r.children(), Reclaimed: r.reclaimed(), Peers: r.peers()}
	return m, r.end()
}

// Keys of the key-value peers. The manifest has one of its own, so that an edit
// of the peers does not write it again.

func smallKey(pod string) []byte    { return append([]byte("d/"), pod...) }
func manifestKey(pod string) []byte { return append([]byte("m/"), pod...) }

// upTo is the first key after all that begin with prefix, which ends in '/'.
func upTo(prefix string) []byte { return append([]byte(prefix[:len(prefix)-1]), '/'+1) }
