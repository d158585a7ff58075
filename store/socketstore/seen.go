package socketstore

import (
	"sync"

	"podstore/store"
)

// seen keeps the Pods that a client has edited last, as it saw them, so that the
// next edit need not read them first: the server compares, and gives what is
// there where they have changed.
type seen struct {
	mu   sync.Mutex
	pods map[string]seenPod
	size int
}

type seenPod struct {
	m       *store.Metadata // nil: it does not exist; not changed
	version version
	size    int
}

// seenBytes is how much a client keeps at most, and a Pod of more than a sixteenth
// of it is not kept.
const seenBytes = 8 << 20

// get gives some Pods, or nil unless all of them are kept.
func (s *seen) get(names []string) *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &state{make([]*store.Metadata, len(names)), make([]version, len(names))}
	for i, name := range names {
		p, ok := s.pods[name]
		if !ok {
			return nil
		}
		st.pods[i], st.versions[i] = p.m, p.version
	}
	return st
}

// put keeps a Pod in place of what was kept of it.
func (s *seen) put(name string, m *store.Metadata, v version) {
	p := seenPod{m: m, version: v, size: 512 + len(name)}
	if m != nil {
		p.size += weight(m)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(name)
	if p.size > seenBytes/16 {
		return
	}
	for other := range s.pods {
		if s.size+p.size <= seenBytes {
			break
		}
		s.remove(other)
	}
	if s.pods == nil {
		s.pods = map[string]seenPod{}
	}
	s.pods[name] = p
	s.size += p.size
}

// forget drops some Pods.
func (s *seen) forget(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.remove(name)
	}
}

func (s *seen) remove(name string) {
	s.size -= s.pods[name].size
	delete(s.pods, name)
}

// weight is about how many bytes metadata takes.
func weight(m *store.Metadata) int {
	n := len(m.Manifest)
	for k, v := range m.Extra {
		n += 64 + len(k) + len(v)
	}
	rules := func(list []store.ScopeRule) {
		for _, r := range list {
			n += 48 + len(r.Target) + len(r.Permission)
		}
	}
	for _, c := range m.Children {
		n += 80 + len(c.PodName) + len(c.SocketPath) + len(c.CallbackAddress)
		rules(c.ScopeDelegated)
	}
	for _, c := range m.Reclaimed {
		n += 48 + len(c.PodName)
		rules(c.ScopeDelegated)
	}
	for _, p := range m.Peers {
		n += 16 + len(p.PodName)
	}
	return n
}
