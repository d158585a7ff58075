package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"podstore/store"
)

var applyTests = append([]test{
	{"makes changes of one Pod in order", func(s *subject) {
		s.put(full("agent"), full("other"))
		s.applyFor(&store.ApplyOptions{Metadata: true},
			store.Change{Pod: "agent", Op: store.SetPeers{Peers: peers("z", "b")}},
			store.Change{Pod: "agent", Op: peer("a")},
			store.Change{Pod: "agent", Op: store.RemovePeer{PodName: "z"}},
			store.Change{Pod: "agent", Op: store.AddChild{Child: store.SpawnedChild{PodName: "late"}}},
			store.Change{Pod: "agent", Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "late"}}}},
			store.Change{Pod: "agent", Op: store.TrimReclaimed{Keep: 2}},
			store.Change{Pod: "agent", Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "worker"}}}},
			store.Change{Pod: "agent", Op: store.SetField{Field: "future", Value: json.RawMessage(`1`)}},
			store.Change{Pod: "agent", Op: store.ClearField{Field: "nothing"}},
			store.Change{Pod: "agent", Op: store.SetActive{Manifest: json.RawMessage(`1`)}},
			store.Change{Pod: "agent", Op: store.SetSegment{Active: store.PendingSegment(store.SessionID{1})}},
			store.Change{Pod: "agent", Op: store.SetField{Field: "future", Value: json.RawMessage(`2`)}})
		want := full("agent")
		want.Peers = peers("a", "b")
		want.Children = full("").Children[1:2]
		want.Reclaimed = []store.ReclaimedChild{{PodName: "past"}, {PodName: "late"}, {PodName: "worker"}}
		setExtra(want, "future", "2")
		delete(want.Extra, "nothing")
		want.Active, want.Manifest = store.PendingSegment(store.SessionID{1}), json.RawMessage(`1`)
		s.expect(want, full("other"))
	}},
	{"makes, deletes and makes a Pod again in one step", func(s *subject) {
		s.put(full("agent"))
		s.apply(store.Change{Pod: "agent", Op: store.Delete{}}, store.Change{Pod: "agent", Op: peer("x")})
		s.expect(withPeers("agent", "x"))
		s.apply(store.Change{Pod: "agent", Op: store.Put{Metadata: full("agent")}}, store.Change{Pod: "agent", Op: store.Delete{}})
		s.absent("agent")
		s.apply(store.Change{Pod: "agent", Op: peer("y")}, store.Change{Pod: "agent", Op: store.Put{Metadata: full("agent")}})
		s.expect(full("agent"))
		s.apply(store.Change{Pod: "new", Op: peer("y")}, store.Change{Pod: "new", Op: store.Delete{}})
		s.absent("new")
		s.apply(
			store.Change{Pod: "agent", Op: store.Delete{}}, store.Change{Pod: "agent", Op: store.Put{Metadata: full("agent")}},
			store.Change{Pod: "agent", Op: store.RemovePeer{PodName: "peer-c"}})
		want := full("agent")
		want.Peers = peers("peer-a")
		s.expect(want)
		s.expectNames("agent")
	}},
	{"makes many changes of one Pod", func(s *subject) {
		var changes []store.Change
		want := full("agent")
		want.Peers = nil
		for i := range 300 {
			name := fmt.Sprintf("peer-%03d", i)
			changes = append(changes, store.Change{Pod: "agent", Op: peer(name)})
			want.Peers = append(want.Peers, store.Peer{PodName: name})
		}
		s.put(full("agent"))
		s.do("agent", store.SetPeers{})
		s.apply(changes...)
		s.expect(want)
	}},
	{"with changes that change nothing writes nothing", func(s *subject) {
		s.put(full("agent"), minimal("bare"))
		for _, changes := range [][]store.Change{
			{{Pod: "agent", Op: peer("peer-a")}, {Pod: "agent", Op: store.RemovePeer{PodName: "none"}}},
			{{Pod: "agent", Op: peer("new")}, {Pod: "agent", Op: store.SetPeers{Peers: full("").Peers}}},
			{{Pod: "agent", Op: store.Delete{}}, {Pod: "agent", Op: store.Put{Metadata: full("agent")}}},
			{{Pod: "agent", Op: store.SetField{Field: "x", Value: json.RawMessage("1")}}, {Pod: "agent", Op: store.ClearField{Field: "x"}}},
			{{Pod: "new", Op: peer("x")}, {Pod: "new", Op: store.Delete{}}},
			{{Pod: "new", Op: store.Delete{}}},
			{{Pod: "bare", Op: store.SetActive{}}, {Pod: "bare", Op: store.TrimReclaimed{}}, {Pod: "bare", Op: store.SetChildren{}}},
			{{Pod: "bare", If: store.Exists}, {Pod: "bare", If: store.SkipMissing}},
		} {
			s.writesNothing("Apply "+described(changes), func() { s.apply(changes...) })
		}
	}},
	{"without an operation is its condition alone", func(s *subject) {
		s.put(full("agent"))
		s.writesNothing("a condition alone", func() {
			s.apply(store.Change{Pod: "agent", If: store.Exists})
			s.apply(store.Change{Pod: "missing", If: store.Missing})
			s.apply(store.Change{Pod: "missing", If: store.SkipMissing})
			s.applyFor(&store.ApplyOptions{Metadata: true}, store.Change{Pod: "agent", If: store.AtRevision(s.get("agent").Version.Revision)})
		})
		s.apply(store.Change{Pod: "agent", If: store.Exists}, store.Change{Pod: "agent", Op: store.SetPeers{}}, store.Change{Pod: "agent", If: store.Exists})
		want := full("agent")
		want.Peers = nil
		s.expect(want)
		s.refuses(store.ErrNotFound, store.Change{Pod: "missing", If: store.Exists})
		s.refuses(store.ErrExists, store.Change{Pod: "agent", Op: store.Delete{}, If: store.Exists}, store.Change{Pod: "agent", Op: peer("x")}, store.Change{Pod: "agent", If: store.Missing})
	}},
	{"refuses no change, and a change that is nothing", func(s *subject) {
		s.put(full("agent"))
		s.refuses(store.ErrInvalid)
		s.refuses(store.ErrInvalid, store.Change{Pod: "agent"})
		s.refuses(store.ErrInvalid, store.Change{Pod: "agent", Op: peer("new")}, store.Change{Pod: "agent"})
		s.refuses(store.ErrInvalid, store.Change{Pod: "agent", Op: peer("new"), If: store.AtRevision(store.Revision{})})
		s.is("Do of no operation", store.Do(background, s, "agent"), store.ErrInvalid)
	}},
	{"refuses what breaks a rule and changes nothing", func(s *subject) {
		s.put(full("agent"))
		for _, bad := range badOperations {
			for _, pod := range []string{"agent", "missing"} {
				s.refuses(bad.kind, store.Change{Pod: pod, Op: bad.op})
				s.refuses(bad.kind, store.Change{Pod: pod, Op: bad.op, If: store.SkipMissing})
			}
			s.refuses(bad.kind, store.Change{Pod: "agent", Op: peer("new")}, store.Change{Pod: "agent", Op: bad.op}, store.Change{Pod: "agent", Op: store.Delete{}})
			_, err := s.Apply(background, []store.Change{{Pod: "agent", Op: bad.op}}, nil)
			s.errorOf("Apply", err, "agent")
		}
		for _, sp := range spoiled {
			m := full("agent")
			m.Peers = nil
			sp.spoil(m)
			s.refuses(store.ErrInvalid, store.Change{Pod: "agent", Op: peer("new")}, store.Change{Pod: "agent", Op: store.Put{Metadata: m}})
		}
	}},
	{"neither changes nor keeps what it is given", func(s *subject) {
		given := func() []store.Change {
			m := full("agent")
			m.Manifest = json.RawMessage(` { "b" : 1.50, "a" : 2 } `)
			m.Peers = []store.Peer{}
			return []store.Change{
				{Pod: "agent", Op: store.Put{Metadata: m}},
				{Pod: "agent", Op: store.SetActive{Active: store.ActiveIn(store.SessionID{1}, store.SegmentID{2}), Manifest: json.RawMessage(` [ 1.50 ] `)}},
				{Pod: "agent", Op: store.SetSegment{Active: store.ActiveIn(store.SessionID{1}, store.SegmentID{3})}},
				{Pod: "agent", Op: store.SetChildren{Children: newChildren()}},
				{Pod: "agent", Op: store.AddChild{Child: store.SpawnedChild{PodName: "n", ScopeDelegated: []store.ScopeRule{{Target: "/t"}}}}},
				{Pod: "agent", Op: store.SetPeers{Peers: peers("z", "a")}},
				{Pod: "agent", Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "n2", ScopeDelegated: []store.ScopeRule{{Target: "/t"}}}}}},
				{Pod: "agent", Op: store.SetField{Field: "future", Value: json.RawMessage(` { } `)}},
			}
		}
		changes := given()
		s.applyFor(&store.ApplyOptions{Metadata: true}, changes...)
		if !reflect.DeepEqual(changes, given()) {
			s.Errorf("Apply changed what it was given: %+v", changes)
		}
		stored := s.get("agent")
		scribble(changes[0].Op.(store.Put).Metadata)
		for _, c := range changes[1:] {
			switch op := c.Op.(type) {
			case store.SetActive:
				scribble(&store.Metadata{Active: op.Active, Manifest: op.Manifest})
			case store.SetSegment:
				scribble(&store.Metadata{Active: op.Active})
			case store.SetChildren:
				scribble(&store.Metadata{Children: op.Children})
			case store.AddChild:
				scribble(&store.Metadata{Children: []store.SpawnedChild{op.Child}})
			case store.SetPeers:
				scribble(&store.Metadata{Peers: op.Peers})
			case store.Reclaim:
				scribble(&store.Metadata{Reclaimed: op.Reclaimed})
			case store.SetField:
				scribble(&store.Metadata{Manifest: op.Value})
			}
		}
		s.expect(stored)
	}},
	{"gives metadata that is the caller's", func(s *subject) {
		s.put(full("agent"))
		want := full("agent")
		want.Peers = peers("peer-a", "peer-b", "peer-c", "peer-c")
		for _, op := range []store.Op{peer("peer-b"), peer("peer-b"), nil} {
			for _, a := range s.applyFor(&store.ApplyOptions{Metadata: true}, store.Change{Pod: "agent", Op: op, If: store.Exists}) {
				scribble(a.Metadata)
			}
			s.expect(want)
		}
	}},
	{"gives nil where the Pod does not exist", func(s *subject) {
		s.put(full("agent"))
		for range 2 {
			m, err := store.DoAndRead(background, s, "agent", peer("x"), store.Delete{})
			if err != nil || m != nil {
				s.Errorf("DoAndRead of a deletion: %v, %v", m, err)
			}
			s.absent("agent")
		}
	}},
	{"of several Pods is made or refused as unsupported", func(s *subject) {
		s.put(full("a"), full("b"))
		if s.appliesSeveral() {
			s.Skip("the store changes several Pods at once: the tests below prove it")
		}
		s.refuses(errors.ErrUnsupported, store.Change{Pod: "a", Op: peer("x")}, store.Change{Pod: "b", Op: peer("x")})
		s.refuses(errors.ErrUnsupported, store.Change{Pod: "a", Op: peer("x")}, store.Change{Pod: "b", If: store.Exists})
		s.refuses(errors.ErrUnsupported, store.Change{Pod: "new", Op: peer("x")}, store.Change{Pod: "a", Op: store.Delete{}})
	}},
}, skipping("the store changes one Pod at a time", (*subject).appliesSeveral, []test{
	{"makes changes of several Pods in one step", func(s *subject) {
		s.put(full("a"), full("b"), full("c"), full("other"))
		s.applyFor(&store.ApplyOptions{Metadata: true},
			store.Change{Pod: "b", Op: store.SetPeers{Peers: peers("z")}},
			store.Change{Pod: "new", Op: peer("a")},
			store.Change{Pod: "c", Op: store.Delete{}},
			store.Change{Pod: "b", Op: peer("y")},
			store.Change{Pod: "a", Op: store.Put{Metadata: minimal("a")}},
			store.Change{Pod: "missing", Op: store.Delete{}},
			store.Change{Pod: "missing", Op: peer("x"), If: store.SkipMissing},
			store.Change{Pod: "new", Op: store.SetActive{Manifest: json.RawMessage(`1`)}},
			store.Change{Pod: "other", If: store.Exists})
		b := full("b")
		b.Peers = peers("y", "z")
		created := withPeers("new", "a")
		created.Manifest = json.RawMessage(`1`)
		s.expect(minimal("a"), b, created, full("other"))
		s.expectNames("a", "b", "new", "other")
	}},
	{"makes all changes or none", func(s *subject) {
		s.put(full("a"), full("b"), full("c"))
		good := []store.Change{
			{Pod: "a", Op: store.SetPeers{}}, {Pod: "new", Op: peer("x")}, {Pod: "b", Op: store.Delete{}}, {Pod: "c", Op: store.Put{Metadata: minimal("c")}},
		}
		for _, bad := range []struct {
			kind   error
			change store.Change
		}{
			{store.ErrNotFound, store.Change{Pod: "missing", Op: peer("x"), If: store.Exists}},
			{store.ErrNotFound, store.Change{Pod: "missing", If: store.Exists}},
			{store.ErrExists, store.Change{Pod: "a", Op: peer("x"), If: store.Missing}},
			{store.ErrConflict, store.Change{Pod: "missing", If: store.AtRevision(store.Revision{Number: 1, Digest: 1})}},
			{store.ErrInvalidName, store.Change{Pod: "a", Op: peer("x/y")}},
			{store.ErrInvalidName, store.Change{Pod: "a/b", Op: peer("x")}},
			{store.ErrInvalid, store.Change{Pod: "a", Op: store.SetActive{Manifest: json.RawMessage("{")}}},
		} {
			for at := range len(good) + 1 {
				changes := append([]store.Change{}, good[:at]...)
				s.refuses(bad.kind, append(append(changes, bad.change), good[at:]...)...)
			}
		}
		s.apply(good...)
		a := full("a")
		a.Peers = nil
		s.expect(a, withPeers("new", "x"), minimal("c"))
		s.expectNames("a", "c", "new")
	}},
	{"makes changes of many Pods", func(s *subject) {
		var changes []store.Change
		var names []string
		for i := range 200 {
			names = append(names, fmt.Sprintf("pod-%03d", i))
			changes = append(changes, store.Change{Pod: names[i], Op: store.Put{Metadata: full(names[i])}, If: store.Missing})
		}
		s.apply(changes...)
		s.expectNames(names...)
		s.refuses(store.ErrExists, changes[199:]...)
		s.refuses(store.ErrExists, changes...)
		for i := range changes {
			changes[i].If = store.Exists
			switch changes[i].Op = peer("peer-b"); i % 3 {
			case 0:
				changes[i].Op = store.Delete{}
			case 1:
				changes[i].Op = store.SetActive{}
			}
		}
		s.apply(changes...)
		for i, name := range names {
			m := full(name)
			switch i % 3 {
			case 0:
				s.absent(name)
				continue
			case 1:
				m.Active, m.Manifest = nil, nil
			case 2:
				m.Peers = peers("peer-a", "peer-b", "peer-c", "peer-c")
			}
			s.expect(m)
		}
	}},
	{"with changes of several Pods that change nothing writes nothing", func(s *subject) {
		s.put(full("a"), minimal("b"))
		s.writesNothing("Apply", func() {
			s.apply(store.Change{Pod: "a", Op: peer("peer-a")}, store.Change{Pod: "b", Op: store.SetPeers{}},
				store.Change{Pod: "missing", Op: store.Delete{}}, store.Change{Pod: "gone", Op: peer("x"), If: store.SkipMissing})
		})
		b := s.get("b").Version
		s.apply(store.Change{Pod: "a", Op: peer("new")}, store.Change{Pod: "b", Op: store.SetPeers{}})
		if got := s.get("b").Version; got != b {
			s.Errorf("an Apply in which only another Pod changed gave a Pod version %v instead of %v", got, b)
		}
	}},
})...)

// badOperations break a rule that the store checks before it reads anything.
var badOperations = func() []badOperation {
	list := []badOperation{
		{store.Put{}, store.ErrInvalid},
		{store.Put{Metadata: full("another")}, store.ErrInvalid},
		{store.SetActive{Manifest: json.RawMessage(`{`)}, store.ErrInvalid},
		{store.SetActive{Manifest: nestedJSON(store.MaxValueDepth + 1)}, store.ErrInvalid},
		{store.SetChildren{Children: []store.SpawnedChild{{PodName: "c", SocketPath: "\xff"}}}, store.ErrInvalid},
		{store.AddChild{Child: store.SpawnedChild{PodName: "c", ScopeDelegated: []store.ScopeRule{{Target: "\xff"}}}}, store.ErrInvalid},
		{store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "worker", ScopeDelegated: []store.ScopeRule{{Permission: "\xff"}}}}}, store.ErrInvalid},
		{store.TrimReclaimed{Keep: -1}, store.ErrInvalid},
		{store.SetField{Field: "\xff", Value: json.RawMessage(`1`)}, store.ErrInvalid},
		{store.ClearField{Field: "\xff"}, store.ErrInvalid},
		{store.SetField{Field: "future", Value: nestedJSON(store.MaxValueDepth + 1)}, store.ErrInvalid},
	}
	for _, value := range []string{``, ` `, `{`, `[1]]`, `01`, `"\ud800"`, "\"\xff\""} {
		list = append(list, badOperation{store.SetField{Field: "future", Value: json.RawMessage(value)}, store.ErrInvalid})
	}
	for _, field := range knownFields {
		list = append(list,
			badOperation{store.SetField{Field: field, Value: json.RawMessage(`[]`)}, store.ErrInvalid},
			badOperation{store.ClearField{Field: field}, store.ErrInvalid})
	}
	for _, bad := range badNames {
		for _, op := range []store.Op{
			peer(bad),
			store.SetPeers{Peers: peers("ok", bad)},
			store.AddChild{Child: store.SpawnedChild{PodName: bad}},
			store.SetChildren{Children: []store.SpawnedChild{{PodName: "ok"}, {PodName: bad}}},
			store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "worker"}, {PodName: bad}}},
		} {
			list = append(list, badOperation{op, store.ErrInvalidName})
		}
	}
	return list
}()

type badOperation struct {
	op   store.Op
	kind error
}
