package podjson

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"podstore/store"
	"podstore/store/jsonvalue"
)

// AppendChange appends a change as JSON on one line, without a line break:
// {"pod":"planner","op":"add_peer","peer":"coder","if":"exists"}. docs/changes.md
// describes it. c must come from [store.Prepare]; this is not checked. [DecodeChanges]
// reads the same change again, with times to the millisecond.
func AppendChange(dst []byte, c store.Change) []byte {
	dst = jsonvalue.AppendString(append(dst, `{"pod":`...), c.Pod)
	if c.Op != nil {
		dst = append(append(append(dst, `,"op":"`...), c.Op.Name()...), '"')
	}
	switch op := c.Op.(type) {
	case nil, store.Delete, store.Remove:
	case store.Put:
		dst = AppendLine(append(dst, `,"metadata":`...), op.Metadata)
		dst = lineTime(dst, "created", op.Created)
		dst = lineTime(dst, "changed", op.Changed)
	case store.SetActive:
		dst = lineActive(append(dst, `,"active":`...), op.Active)
		dst = append(dst, `,"manifest":`...)
		if op.Manifest == nil {
			dst = append(dst, "null"...)
		}
		dst = append(dst, op.Manifest...)
	case store.SetSegment:
		dst = lineActive(append(dst, `,"active":`...), op.Active)
	case store.SetChildren:
		dst = lineList(append(dst, `,"children":`...), op.Children, lineChild)
	case store.AddChild:
		dst = lineChild(append(dst, `,"child":`...), op.Child)
	case store.RemoveChild:
		dst = jsonvalue.AppendString(append(dst, `,"child":`...), op.PodName)
	case store.SetPeers:
		dst = lineList(append(dst, `,"peers":`...), op.Peers, linePeer)
	case store.AddPeer:
		dst = jsonvalue.AppendString(append(dst, `,"peer":`...), op.PodName)
	case store.RemovePeer:
		dst = jsonvalue.AppendString(append(dst, `,"peer":`...), op.PodName)
	case store.Reclaim:
		dst = lineList(append(dst, `,"reclaimed":`...), op.Reclaimed, lineReclaimed)
	case store.TrimReclaimed:
		dst = strconv.AppendInt(append(dst, `,"keep":`...), int64(op.Keep), 10)
	case store.SetField:
		dst = jsonvalue.AppendString(append(dst, `,"field":`...), op.Field)
		dst = append(append(dst, `,"value":`...), op.Value...)
	case store.ClearField:
		dst = jsonvalue.AppendString(append(dst, `,"field":`...), op.Field)
	default:
		panic(fmt.Sprintf("podjson: operation %q has no JSON", op.Name()))
	}
	if c.If != (store.Condition{}) {
		dst = append(append(append(dst, `,"if":"`...), c.If.String()...), '"')
	}
	return append(dst, '}')
}

// AppendChanges appends a line for each change.
func AppendChanges(dst []byte, changes []store.Change) []byte {
	for _, c := range changes {
		dst = append(AppendChange(dst, c), '\n')
	}
	return dst
}

// DecodeChanges reads changes that follow each other. If limit is not 0 and there are
// more, the error matches [store.ErrTooLarge]. It is strict: it refuses a member that is
// unknown, that the operation does not take, or that is given twice, and whatever
// [Decode] refuses. It does not check names and the rules of operations: [store.Prepare]
// does. The result shares no memory with data.
//
// The error is like that of [Decode], with its position in data. It names the Pod if
// that is known.
func DecodeChanges(data []byte, limit int) ([]store.Change, error) {
	d := decoders.Get().(*decoder)
	defer d.release()
	d.around(data)
	var changes []store.Change
	var pod string
	for d.Err() == nil && d.Peek() != jsonvalue.Invalid {
		if len(changes) == limit && limit > 0 {
			return nil, &store.Error{Op: "decode", Kind: store.ErrTooLarge, Err: fmt.Errorf("more than %d changes", limit)}
		}
		var c store.Change
		c, pod = d.change()
		changes = append(changes, c)
	}
	if bad := d.failure(d.End()); bad != nil {
		bad.Op, bad.Pod = "decode", pod
		return nil, bad
	}
	return changes, nil
}

// The members of a change.
const (
	memberPod = iota
	memberOp
	memberIf
	memberMetadata
	memberCreated
	memberChanged
	memberActive
	memberManifest
	memberChildren
	memberChild
	memberPeers
	memberPeer
	memberReclaimed
	memberKeep
	memberField
	memberValue
	numMembers
)

var memberNames = [numMembers]string{"pod", "op", "if", "metadata", "created", "changed", "active", "manifest",
	"children", "child", "peers", "peer", "reclaimed", "keep", "field", "value"}

// members is a set of them.
type members uint32

func membersOf(list ...int) (set members) {
	for _, m := range list {
		set |= 1 << m
	}
	return set
}

// changeValues are the values of the members of one change.
type changeValues struct {
	metadata         *store.Metadata
	created, changed time.Time
	active           *store.ActiveSegment
	manifest, value  json.RawMessage
	children         []store.SpawnedChild
	child            store.SpawnedChild
	childName        string
	named            bool // child is a name
	peers            []store.Peer
	peer, field      string
	reclaimed        []store.ReclaimedChild
	keep             int
}

// operation is one operation's JSON.
type operation struct {
	required, optional members
	build              func(v *changeValues) store.Op
}

var operations = map[string]operation{
	"": {0, 0, func(*changeValues) store.Op { return nil }},
	"put": {membersOf(memberMetadata), membersOf(memberCreated, memberChanged), func(v *changeValues) store.Op {
		return store.Put{Metadata: v.metadata, Created: v.created, Changed: v.changed}
	}},
	"delete": {0, 0, func(*changeValues) store.Op { return store.Delete{} }},
	"remove": {0, 0, func(*changeValues) store.Op { return store.Remove{} }},
	// Both are required, so that nobody clears the manifest by leaving it out.
	"set_active": {membersOf(memberActive, memberManifest), 0, func(v *changeValues) store.Op {
		return store.SetActive{Active: v.active, Manifest: v.manifest}
	}},
	"set_segment":    {membersOf(memberActive), 0, func(v *changeValues) store.Op { return store.SetSegment{Active: v.active} }},
	"set_children":   {membersOf(memberChildren), 0, func(v *changeValues) store.Op { return store.SetChildren{Children: v.children} }},
	"add_child":      {membersOf(memberChild), 0, func(v *changeValues) store.Op { return store.AddChild{Child: v.child} }},
	"remove_child":   {membersOf(memberChild), 0, func(v *changeValues) store.Op { return store.RemoveChild{PodName: v.childName} }},
	"set_peers":      {membersOf(memberPeers), 0, func(v *changeValues) store.Op { return store.SetPeers{Peers: v.peers} }},
	"add_peer":       {membersOf(memberPeer), 0, func(v *changeValues) store.Op { return store.AddPeer{PodName: v.peer} }},
	"remove_peer":    {membersOf(memberPeer), 0, func(v *changeValues) store.Op { return store.RemovePeer{PodName: v.peer} }},
	"reclaim":        {membersOf(memberReclaimed), 0, func(v *changeValues) store.Op { return store.Reclaim{Reclaimed: v.reclaimed} }},
	"trim_reclaimed": {membersOf(memberKeep), 0, func(v *changeValues) store.Op { return store.TrimReclaimed{Keep: v.keep} }},
	"set_field": {membersOf(memberField, memberValue), 0, func(v *changeValues) store.Op {
		return store.SetField{Field: v.field, Value: v.value}
	}},
	"clear_field": {membersOf(memberField), 0, func(v *changeValues) store.Op { return store.ClearField{Field: v.field} }},
}

// change reads one change. Members come in any order, so it checks at the end which of
// them the operation takes.
func (d *decoder) change() (c store.Change, pod string) {
	var v changeValues
	var seen members
	var at [numMembers]int
	opName := ""
	d.want(jsonvalue.Object, "a change")
	d.EnterObject()
	end := 0
	for {
		end = d.Offset()
		if !d.NextKey() {
			break
		}
		i := slices.Index(memberNames[:], string(d.Key()))
		if i < 0 || seen&(1<<i) != 0 {
			d.stranger(i, "a change", memberNames[:])
			return c, c.Pod
		}
		seen |= 1 << i
		at[i] = d.KeyOffset()
		switch i {
		case memberPod:
			c.Pod = d.str("pod")
		case memberOp:
			opName = d.operation()
		case memberIf:
			c.If = d.condition()
		default:
			d.changeMember(i, &v)
		}
	}
	op := operations[opName]
	required := op.required | membersOf(memberPod)
	known := required | op.optional | membersOf(memberOp, memberIf)
	for i, name := range memberNames {
		switch {
		case required&^seen&(1<<i) != 0:
			d.Fail(end, "missing field %q in a change%s", name, named(opName))
		case seen&^known&(1<<i) != 0:
			d.Fail(at[i], "field %q has no meaning in a change%s", name, named(opName))
		}
	}
	if seen&(1<<memberChild) != 0 && v.named != (opName == "remove_child") {
		d.Fail(at[memberChild], "child: expected an object in add_child, a name in remove_child")
	}
	if d.Err() == nil {
		c.Op = op.build(&v)
	}
	return c, c.Pod
}

func named(op string) string {
	if op == "" {
		return " without an operation"
	}
	return " of operation " + op
}

func (d *decoder) operation() string {
	at := d.Offset()
	name := d.str("op")
	if _, ok := operations[name]; d.Err() == nil && (!ok || name == "") {
		d.Fail(at, "unknown operation %.64q", name)
		return ""
	}
	return name
}

func (d *decoder) condition() store.Condition {
	at := d.Offset()
	s := d.str("if")
	if d.Err() != nil {
		return store.Condition{}
	}
	c, err := store.ParseCondition(s)
	switch {
	case err != nil:
		d.failAt(at, err)
	case c == store.Condition{}:
		d.Fail(at, "if: the condition is empty; leave it out")
	}
	return c
}

func (d *decoder) changeMember(i int, v *changeValues) {
	switch i {
	case memberMetadata:
		v.metadata = d.document()
	case memberCreated:
		v.created = d.time("created")
	case memberChanged:
		v.changed = d.time("changed")
	case memberActive:
		if !d.ReadNull() {
			v.active = d.active()
		}
	case memberManifest:
		if !d.ReadNull() {
			v.manifest = d.value("the manifest", 0)
		}
	case memberChildren:
		d.list("children", func() { v.children = append(v.children, d.child()) })
	case memberChild:
		if v.named = d.Peek() == jsonvalue.String; v.named {
			v.childName = d.ReadString()
		} else {
			v.child = d.child()
		}
	case memberPeers:
		d.list("peers", func() { v.peers = append(v.peers, d.peer()) })
	case memberPeer:
		v.peer = d.str("peer")
	case memberReclaimed:
		d.list("reclaimed", func() { v.reclaimed = append(v.reclaimed, d.reclaimed()) })
	case memberKeep:
		at := d.Offset()
		n := d.integer("keep")
		if v.keep = int(n); int64(v.keep) != n {
			d.Fail(at, "keep: %d is too large", n)
		}
	case memberField:
		v.field = d.str("field")
	case memberValue:
		v.value = d.value("the value", 0)
	}
}
