package podjson

import (
	"fmt"
	"testing"

	"podstore/store"
)

// benchPod is a typical Pod. Each has other bytes.
func benchPod(i int) *store.Metadata {
	rules := []store.ScopeRule{
		{Target: "/srv/work/project", Permission: "write", Recursive: true},
		{Target: "/etc", Permission: "read"},
	}
	session, _ := store.ParseSessionID("0190f5c0-1111-7abc-8def-0123456789ab")
	segment, _ := store.ParseSegmentID("0190f5c0-2222-7abc-8def-0123456789ab")
	var manifest []byte
	manifest = fmt.Appendf(manifest, `{"pod":{"id":%d,"model":"large","temperature":0.7},"tools":[`, i)
	for k := range 40 {
		if k > 0 {
			manifest = append(manifest, ',')
		}
		manifest = fmt.Appendf(manifest, `{"name":"tool-%02d","description":"Does \"one\" thing well","limits":[%d,2.5,true,null]}`, k, i+k)
	}
	manifest = append(manifest, `]}`...)
	m := &store.Metadata{
		PodName: fmt.Sprintf("pod-%06d", i),
		Active:  store.ActiveIn(session, segment),
		Children: []store.SpawnedChild{
			{PodName: "child-a", SocketPath: "/run/podstore/child-a.sock", ScopeDelegated: rules, CallbackAddress: "/run/podstore/parent.sock"},
			{PodName: "child-b", SocketPath: "/run/podstore/child-b.sock", ScopeDelegated: rules, CallbackAddress: "/run/podstore/parent.sock"},
		},
		Reclaimed: []store.ReclaimedChild{{PodName: "child-old", ScopeDelegated: rules}},
		Peers:     []store.Peer{{PodName: "peer-a"}, {PodName: "peer-b"}, {PodName: "peer-c"}},
		Manifest:  manifest,
	}
	if err := m.Normalize(); err != nil {
		panic(err)
	}
	return m
}

func BenchmarkDecode(b *testing.B) {
	data := Append(nil, benchPod(1))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	m := benchPod(1)
	buf := Append(nil, m)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], m)
	}
}
