package boltstore

import (
	"encoding/json"

	"github.com/google/uuid"

	"podstore/store"
)

// sample has something in every field.
func sample() *store.Metadata {
	rules := []store.ScopeRule{{Target: "/src/é", Permission: "write", Recursive: true}, {Target: "/tmp", Permission: "read"}}
	return &store.Metadata{
		PodName: "agent",
		Active: store.ActiveIn(
			store.SessionID(uuid.MustParse("0197f1d2-5a3b-7c4d-8e6f-0123456789ab")),
			store.SegmentID(uuid.MustParse("0197f1d2-5a3b-7c4d-8e6f-0123456789ac"))),
		Children: []store.SpawnedChild{
			{PodName: "child", SocketPath: "/run/child.sock", ScopeDelegated: rules, CallbackAddress: "/run/agent.sock"},
			{PodName: "other"},
		},
		Reclaimed: []store.ReclaimedChild{{PodName: "old", ScopeDelegated: rules[:1]}, {PodName: "older"}},
		Peers:     []store.Peer{{PodName: "a"}, {PodName: "日本語"}},
		Manifest:  json.RawMessage(`{"pod":{"name":"agent"},"ratio":1.0}`),
		Extra:     map[string]json.RawMessage{"later": json.RawMessage(`[1,null]`), "a\"b": json.RawMessage(`null`)},
	}
}
