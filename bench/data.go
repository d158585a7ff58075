package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"podstore/store"
)

// manifestSize is the size of a manifest where nothing else is said, and
// realManifestSize what those of real Pods have, in bytes of the canonical compact
// form.
const (
	manifestSize     = 4096
	realManifestSize = 3072
)

// set is what a candidate holds: so many Pods, with manifests of so many bytes, 0 for
// none.
type set struct{ Pods, Manifest int }

// podsOf is a set with manifests of the usual size.
func podsOf(n int) set { return set{n, manifestSize} }

func (s set) String() string {
	if s.Manifest == manifestSize {
		return fmt.Sprintf("%d Pods", s.Pods)
	}
	return fmt.Sprintf("%d Pods with manifests of %d bytes", s.Pods, s.Manifest)
}

// workload is the name of a measurement on a set.
func (s set) workload(name string) string {
	if s.Manifest == manifestSize {
		return name
	}
	return fmt.Sprintf("%s, manifest %d", name, s.Manifest)
}

// peerNames are the peers that the writers add and remove. A Pod starts with
// the first half of them.
var peerNames = [8]string{
	"build-agent", "code-reviewer", "coordinator", "documentation", "integration", "release-planner", "researcher", "test-runner",
}

// initialPeers says of each of peerNames whether a new Pod lists it: 1 or 0.
func initialPeers() []uint8 { return []uint8{1, 1, 1, 1, 0, 0, 0, 0} }

// podName is the name of the i-th Pod. The names sort by i.
func podName(i int) string { return fmt.Sprintf("pod-%06d", i) }

// makePod makes the i-th Pod, the same in every run: every field set, but for a
// manifest of 0 bytes, in normal form.
func makePod(i, manifest int) *store.Metadata {
	rng := rand.New(rand.NewPCG(uint64(i), 42))
	name := podName(i)
	m := &store.Metadata{
		PodName: name,
		Active:  store.ActiveIn(makeID(rng), store.SegmentID(makeID(rng))),
		Children: []store.SpawnedChild{
			makeChild(name+"-worker-a", rng), makeChild(name+"-worker-b", rng),
		},
		Reclaimed: []store.ReclaimedChild{
			{PodName: name + "-former", ScopeDelegated: []store.ScopeRule{{Target: "/srv/projects/" + name + "/docs", Permission: "read", Recursive: true}}},
		},
		Peers: peersOf(initialPeers()),
	}
	if manifest > 0 {
		m.Manifest = makeManifest(name, manifest, rng)
	}
	if err := m.Normalize(); err != nil {
		panic(fmt.Sprintf("bench: Pod %d: %v", i, err))
	}
	return m
}

func makeID(rng *rand.Rand) store.SessionID {
	var id store.SessionID
	for i := range id {
		id[i] = byte(rng.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

func makeChild(name string, rng *rand.Rand) store.SpawnedChild {
	return store.SpawnedChild{
		PodName:    name,
		SocketPath: "/run/supervisor/" + name + ".sock",
		ScopeDelegated: []store.ScopeRule{
			{Target: "/srv/projects/" + name + "/src", Permission: "write", Recursive: true},
			{Target: "/srv/projects/" + name + "/README.md", Permission: "read"},
		},
		CallbackAddress: fmt.Sprintf("127.0.0.1:%d", 20000+rng.IntN(20000)),
	}
}

// makeManifest makes an object of nested values of all kinds, keys sorted,
// padded to the exact size with text that does not compress to nothing.
func makeManifest(name string, size int, rng *rand.Rand) json.RawMessage {
	b := fmt.Appendf(nil, `{"engine":{"limits":{"cpu":%d,"memory_mb":%d,"temperature":0.7},"model":"large","retries":3},"name":%q,"tools":[`,
		1+rng.IntN(16), 256<<rng.IntN(6), name)
	for len(b) < size-400 {
		b = fmt.Appendf(b, `{"enabled":%t,"id":%d,"path":"/srv/tools/%016x","scope":["read","write"],"weight":%.3f1},`,
			rng.IntN(2) == 0, rng.IntN(1_000_000), rng.Uint64(), rng.Float64())
	}
	b = append(b[:len(b)-1], `],"version":"`...)
	const tail = `"}`
	for len(b) < size-len(tail) {
		b = append(b, "0123456789abcdef"[rng.IntN(16)])
	}
	return append(b, tail...)
}

// peersOf lists the peers that are there, sorted as AddPeer sorts.
func peersOf(there []uint8) []store.Peer {
	var peers []store.Peer
	for k, name := range peerNames {
		if there[k] != 0 {
			peers = append(peers, store.Peer{PodName: name})
		}
	}
	return peers
}

// setPeer is the edit that every writer makes: it adds one peer, or removes it. A
// writer knows whether it is there, since each has peers that no other one touches. So
// every edit changes one small list, no list grows during a run, and the result does
// not depend on the order of the edits: any number of concurrent writers can be
// checked afterwards.
func setPeer(m *store.Metadata, peer string, there bool) error {
	if there {
		return m.AddPeer(peer)
	}
	m.RemovePeer(peer)
	return nil
}
