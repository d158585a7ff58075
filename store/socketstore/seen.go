package socketstore

import (
	"sync"

	"podstore/store"
)

// seen keeps some Pods as they were seen last. A client keeps those that it has
// edited, so that the next edit need not read them first: the server compares, and
// gives what is there where they have changed.
type seen struct {
	mu   sync.Mutex
	pods map[string]seenPod
	size int
}

type seenPod struct {
	*pod
	contended bool
	size      int
}

// seenBytes is how much is kept at most, and a Pod of more than a sixteenth of it is
// not kept.
const seenBytes = 8 << 20

// of gives one Pod, or nil unless it is kept.
func (s *seen) of(name string) *pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pods[name].pod
}

// get gives some Pods, and whether one of them is contended, or nil unless all of
// them are kept.
func (s *seen) get(names []string) (pods []*pod, contended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pods = make([]*pod, len(names))
	for i, name := range names {
		p, ok := s.pods[name]
		if !ok {
			return nil, false
		}
		pods[i], contended = p.pod, contended || p.contended
	}
	return pods, contended
}

// put keeps a Pod in place of what was kept of it. It is contended if others had
// changed it when it was seen last.
func (s *seen) put(name string, p *pod, contended bool) {
	size := 512 + len(name)
	if p.m != nil {
		size += weight(p.m)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(name)
	if size > seenBytes/16 {
		return
	}
	for other := range s.pods {
		if s.size+size <= seenBytes {
			break
		}
		s.remove(other)
	}
	if s.pods == nil {
		s.pods = map[string]seenPod{}
	}
	s.pods[name] = seenPod{p, contended, size}
	s.size += size
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
