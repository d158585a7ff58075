package codec

import (
	"bytes"
	"encoding/json"
	"runtime"
	"testing"

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

func decodeOne(m *store.Metadata, sub int, payload []byte) error {
	var payloads [store.NumFields][]byte
	payloads[sub] = payload
	return Decode(m, &payloads, func(sub int) bool { return payloads[sub] != nil })
}

func TestCodecRoundTrip(t *testing.T) {
	pending := sample()
	pending.Active.SegmentID = nil
	empty := &store.Metadata{PodName: "empty"}
	for _, m := range []*store.Metadata{sample(), pending, empty} {
		e := NewEncoder()
		got := &store.Metadata{PodName: m.PodName}
		for i, key := range SubKeys[:store.NumFields] {
			payload := e.Encode(m, i)
			if m == empty && payload != nil {
				t.Errorf("%s of an empty Pod is %x, expected none", key, payload)
			}
			if payload == nil {
				continue
			}
			if err := decodeOne(got, i, payload); err != nil {
				t.Errorf("%s: %v", key, err)
			}
			for cut := range payload {
				if err := decodeOne(&store.Metadata{}, i, payload[:cut]); err == nil {
					t.Errorf("%s cut to %d of %d bytes was accepted", key, cut, len(payload))
				}
			}
			if err := decodeOne(&store.Metadata{}, i, append(bytes.Clone(payload), 0xc0)); err == nil {
				t.Errorf("%s with a byte too many was accepted", key)
			}
		}
		if field := got.Diff(m); field != "" {
			t.Errorf("%s differs: %+v", field, got)
		}
	}
}

// Decoding must not allocate what a 5-byte header claims, nor follow nested values
// without a limit. msgpack itself would do both.
func TestHostileValues(t *testing.T) {
	deep := bytes.Repeat([]byte{0x91}, 1<<20)
	for name, payload := range map[string][]byte{
		"array32 of 2^25":   {0xdd, 0x02, 0, 0, 0},
		"array32 of 2^32-1": {0xdd, 0xff, 0xff, 0xff, 0xff},
		"bin32 of 1 GiB":    {0xc6, 0x40, 0, 0, 0},
		"str32 of 4 GiB":    {0xdb, 0xff, 0xff, 0xff, 0xff},
		"map32":             {0xdf, 0xff, 0xff, 0xff, 0xff},
		"ext32":             {0xc9, 0xff, 0xff, 0xff, 0xff, 1},
		"float":             {0xcb, 0, 0, 0, 0, 0, 0, 0, 0},
		"deep":              deep,
		"nothing":           {},
		"empty list":        {0x90},
		"not UTF-8":         {0x91, 0xa1, 0xff},
	} {
		for i, key := range SubKeys[:store.NumFields] {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := decodeOne(&store.Metadata{}, i, payload)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("%s as %s was accepted", name, key)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > uint64(len(payload))+1<<16 {
				t.Errorf("%s as %s allocated %d bytes", name, key, used)
			}
		}
	}
}

// memoryFactor limits the memory of decoding, in multiples of the input: the shortest
// child takes 5 bytes, and 80 in memory, and a growing slice takes more than twice that
// on its way.
const memoryFactor = 100

func FuzzDecodeValue(f *testing.F) {
	e := NewEncoder()
	for i := range store.NumFields {
		f.Add(i, bytes.Clone(e.Encode(sample(), i)))
	}
	f.Add(Children, []byte{0xdd, 0, 0, 0, 1, 0x94, 0xa0, 0xa0, 0x90, 0xa0})
	f.Fuzz(func(t *testing.T, sub int, payload []byte) {
		if sub < 0 || sub >= store.NumFields {
			return
		}
		m := &store.Metadata{PodName: "x"}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := decodeOne(m, sub, payload)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(len(payload))*memoryFactor+1<<16 {
			t.Fatalf("decoding %d bytes allocated %d", len(payload), used)
		}
		if err != nil || sub == Manifest || sub == Extra {
			return // JSON is covered by the checksum and canonical since it was written
		}
		// Encode writes again what Decode accepts, except for the width of lengths.
		again := &store.Metadata{PodName: "x"}
		out := bytes.Clone(NewEncoder().Encode(m, sub))
		if err := decodeOne(again, sub, out); err != nil {
			t.Fatalf("%x was accepted, and written as %x, which is not: %v", payload, out, err)
		}
		if field := again.Diff(m); field != "" {
			t.Fatalf("%s differs after writing %x", field, out)
		}
	})
}

func TestSealBindsPlace(t *testing.T) {
	agent := NameSum([]byte("agent"))
	value := Seal(agent, Peers, []byte("payload"))
	if _, ok := Unseal(agent, Peers, value); !ok {
		t.Fatal("a value does not unseal where it was sealed")
	}
	if _, ok := Unseal(NameSum([]byte("agent2")), Peers, value); ok {
		t.Error("a value of another Pod was accepted")
	}
	if _, ok := Unseal(agent, Active, value); ok {
		t.Error("a value of another sub-key was accepted")
	}
	for i := range value {
		for bit := range 8 {
			bad := bytes.Clone(value)
			bad[i] ^= 1 << bit
			if _, ok := Unseal(agent, Peers, bad); ok {
				t.Errorf("bit %d of byte %d flipped was accepted", bit, i)
			}
		}
	}
	if _, ok := Unseal(agent, Peers, value[:4]); ok {
		t.Error("an empty payload was accepted")
	}
}

func BenchmarkEncode(b *testing.B) {
	m, e := sample(), NewEncoder()
	b.ReportAllocs()
	for b.Loop() {
		for i := range store.NumFields {
			e.Encode(m, i)
		}
	}
}
