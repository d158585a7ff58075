package linear

import (
	"errors"
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"

	"podstore/store"
)

// A history has this many Pods. Here they are called a, b, c and d; in the store they
// have longer names.
const numPods = 4

// pod is what the model knows of one Pod. It shares no code with package store.
type pod struct {
	there    bool
	peers    uint8  // bit i: Pod i is a peer
	children string // letters, in order
	history  string // marks, in order, each followed by a space
	active   byte   // first byte of the session's id; 0: none
	// rev is the Pod's revision, as far as any result has shown it. A part that is 0 is
	// unknown.
	rev store.Revision
}

// same reports whether both have the same content, whatever their revisions.
func (p pod) same(o pod) bool {
	p.rev, o.rev = store.Revision{}, store.Revision{}
	return p == o
}

// state is the store at one moment. States are compared with ==.
type state struct {
	pods   [numPods]pod
	number uint64 // the highest known revision number
	made   string // requests that were made: "\x01ID=NUMBER "
}

type kind uint8

const (
	read   kind = iota // one Pod
	list               // the names
	moment             // several Pods at once, by an edit that changes nothing
	apply
	edit // Update and UpdatePods: a mark for each Pod
)

// call is one call of a store.
type call struct {
	kind    kind
	pods    []int          // for all but list and apply
	changes []store.Change // for apply; Pods are named by their letter
	mark    string         // for edit
	creates bool           // edit creates a missing Pod
	id      int            // of the request; 0: none
	asked   bool           // apply asks for metadata
}

// result is what the caller got.
type result struct {
	unknown bool  // nothing certain
	err     error // a sentinel: ErrNotFound, ErrExists, ErrConflict
	names   uint8 // of list: bit i is Pod i
	pods    []pod // the Pods asked for; after apply only those with there[i]
	there   []bool
	revs    []store.Revision // of apply
}

// rules are the differences between backends.
type rules struct {
	numbers bool // revisions have numbers
	// replays: the store may make a call again by itself, so an answer may be that of
	// an earlier attempt: see [store.ApplyOptions] ID.
	replays bool
}

func (r rules) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, in, out any) (bool, any) {
			ok, next := r.step(s.(state), in.(call), out.(result))
			return ok, next
		},
		Equal: func(a, b any) bool { return a.(state) == b.(state) },
		DescribeOperation: func(in, out any) string {
			return fmt.Sprint(in.(call), " → ", out.(result))
		},
	}
}

// step makes a call on the model, or reports that its result cannot be that of a call
// made now.
func (r rules) step(s state, c call, out result) (bool, state) {
	switch c.kind {
	case read:
		if errors.Is(out.err, store.ErrNotFound) {
			return !s.pods[c.pods[0]].there, s
		}
		return s.observe(c.pods[0], out.pods[0])
	case list:
		var names uint8
		for i, p := range s.pods {
			if p.there {
				names |= 1 << i
			}
		}
		return names == out.names, s
	case moment:
		for k, i := range c.pods {
			var ok bool
			if ok, s = s.observe(i, out.pods[k]); !ok {
				return false, s
			}
		}
		return true, s
	case edit:
		return r.edit(s, c, out)
	}
	return r.apply(s, c, out)
}

// observe returns the state after somebody has seen Pod i.
func (s state) observe(i int, got pod) (bool, state) {
	if !got.there {
		return !s.pods[i].there, s
	}
	if !s.pods[i].same(got) {
		return false, s
	}
	return s.sees(i, got.rev)
}

// sees returns the state after somebody has seen the revision of Pod i.
func (s state) sees(i int, got store.Revision) (bool, state) {
	p := &s.pods[i]
	if p.rev.Number != 0 && p.rev.Number != got.Number || p.rev.Digest != 0 && got.Digest != 0 && p.rev.Digest != got.Digest {
		return false, s
	}
	if got.Digest != 0 {
		p.rev.Digest = got.Digest
	}
	p.rev.Number, s.number = got.Number, max(s.number, got.Number)
	return true, s
}

func (r rules) edit(s state, c call, out result) (bool, state) {
	next := s
	changed := false
	for _, i := range c.pods {
		p := &next.pods[i]
		if p.there || c.creates {
			p.there, p.history = true, p.history+c.mark+" "
			changed = true
		}
	}
	if out.unknown {
		for _, i := range c.pods {
			if next.pods[i] != s.pods[i] {
				next.pods[i].rev = store.Revision{}
			}
		}
		return true, next
	}
	var number uint64
	for k, i := range c.pods {
		p, got := &next.pods[i], out.pods[k]
		if !p.same(got) {
			return false, s
		}
		if p.there {
			p.rev = got.rev
			if number != 0 && number != got.rev.Number {
				return false, s
			}
			number = got.rev.Number
		}
	}
	if changed && r.numbers {
		if number <= s.number {
			return false, s
		}
		next.number = number
	}
	return true, next
}

func (r rules) apply(s state, c call, out result) (bool, state) {
	request := fmt.Sprintf("\x01%d=", c.id)
	if _, rest, found := strings.Cut(s.made, request); c.id != 0 && found {
		return r.again(s, c, out, rest)
	}
	next := s
	deleted := [numPods]bool{}
	for _, ch := range c.changes {
		i := letter(ch.Pod)
		if err := next.check(s, i, ch.If); err == errSkip {
			continue
		} else if err != nil {
			return out.unknown || out.err == err, s
		}
		deleted[i] = next.do(i, ch.Op) || deleted[i]
	}
	if out.err != nil {
		return false, s
	}
	// All changes have this number in common. It is 0 if no result shows it.
	var number uint64
	changed := [numPods]bool{}
	for i := range next.pods {
		changed[i] = !next.pods[i].same(s.pods[i])
		if changed[i] {
			next.pods[i].rev = store.Revision{}
		}
	}
	if !out.unknown {
		for k, ch := range c.changes {
			i, got := letter(ch.Pod), out.revs[k]
			p := &next.pods[i]
			if !changed[i] && deleted[i] && p.there {
				// It was deleted and created again as it was: it may have its earlier
				// revision.
				p.rev = s.pods[i].rev
				if as, _ := s.sees(i, got); !as || r.numbers && got.Number > s.number {
					changed[i], p.rev = true, store.Revision{}
				}
			}
			if !p.there {
				if changed[i] && r.numbers {
					if number != 0 && number != got.Number {
						return false, s
					}
					number = got.Number
				}
				continue
			}
			if changed[i] {
				if number != 0 && number != got.Number {
					return false, s
				}
				number = got.Number
			}
			if !changed[i] && got.Digest == 0 && (c.id != 0 || r.replays) {
				continue // a repeated answer may say anything of a Pod that did not change
			}
			var ok bool
			if ok, next = next.sees(i, got); !ok {
				return false, s
			}
			if c.asked && !out.there[k] && c.id == 0 && !r.replays {
				return false, s
			}
			if out.there[k] && (!next.pods[i].same(out.pods[k]) || out.pods[k].rev != got) {
				return false, s
			}
		}
		for i := range changed {
			if !changed[i] {
				continue
			}
			// If only Pods that refer to a removed one changed, no result shows the
			// number.
			if number != 0 && number <= s.number {
				return false, s
			}
			next.number = max(next.number, number)
			if next.pods[i].there && next.pods[i].rev.IsZero() {
				next.pods[i].rev.Number = number // it changed, but the call does not name it
			}
		}
	}
	if c.id != 0 && changed != [numPods]bool{} {
		next.made += fmt.Sprintf("%s%d ", request, number)
	}
	return true, next
}

// again is the repetition of a request: rest is the text behind its id in s.made.
func (r rules) again(s state, c call, out result, rest string) (bool, state) {
	if out.unknown {
		return true, s
	}
	if out.err != nil {
		return false, s
	}
	// A repeated answer may say anything of a Pod that the request did not change.
	var number uint64
	fmt.Sscan(rest, &number)
	told := false
	for k, ch := range c.changes {
		told = told || out.revs[k].Number == number
		if out.there[k] {
			var ok bool
			if ok, s = s.observe(letter(ch.Pod), out.pods[k]); !ok {
				return false, s
			}
		}
	}
	return !r.numbers || number == 0 || told, s
}

var errSkip = errors.New("leave it out")

// check evaluates a condition. before is the state before the first change.
func (s *state) check(before state, i int, c store.Condition) error {
	switch {
	case c == store.Condition{}:
	case c == store.Exists && !s.pods[i].there:
		return store.ErrNotFound
	case c == store.Missing && s.pods[i].there:
		return store.ErrExists
	case c == store.SkipMissing && !s.pods[i].there:
		return errSkip
	case c.NeedsRevision():
		// A result has shown the caller this revision before, so the state knows it.
		if p := before.pods[i]; !p.there || store.AtRevision(p.rev) != c {
			return store.ErrConflict
		}
	}
	return nil
}

// do applies one operation and reports whether it deleted the Pod.
func (s *state) do(i int, op store.Op) (deleted bool) {
	p := &s.pods[i]
	if op == nil {
		return false
	}
	switch op := op.(type) {
	case store.Delete:
		*p = pod{}
		return true
	case store.Remove:
		*p = pod{}
		for k := range s.pods {
			s.pods[k].peers &^= 1 << i
			s.pods[k].children = strings.ReplaceAll(s.pods[k].children, letters[i:i+1], "")
		}
		return true
	case store.Put:
		rev := p.rev
		*p = podOf(op.Metadata, letter)
		p.rev = rev
	case store.AddPeer:
		p.peers |= 1 << letter(op.PodName)
	case store.RemovePeer:
		p.peers &^= 1 << letter(op.PodName)
	case store.SetPeers:
		p.peers = 0
	case store.AddChild:
		if !strings.Contains(p.children, op.Child.PodName) {
			p.children += op.Child.PodName
		}
	case store.RemoveChild:
		p.children = strings.ReplaceAll(p.children, op.PodName, "")
	case store.SetSegment:
		p.active = op.Active.SessionID[0]
	case store.Reclaim:
		for _, c := range op.Reclaimed {
			p.history += c.PodName + " "
		}
	case store.TrimReclaimed:
		p.history = ""
	default:
		panic(fmt.Sprintf("the model does not know %T", op))
	}
	p.there = true
	return false
}

const letters = "abcd"

// letter returns the index of the Pod with a letter.
func letter(name string) int {
	if i := strings.Index(letters, name); len(name) == 1 && i >= 0 {
		return i
	}
	panic(fmt.Sprintf("the model has no Pod %q", name))
}

// podOf returns metadata as the model has it. What the model has no place for becomes a
// history that no call can make.
func podOf(m *store.Metadata, index func(name string) int) pod {
	if m == nil {
		return pod{}
	}
	p := pod{there: true, rev: m.Version.Revision}
	strange := len(m.Manifest) > 0 || len(m.Extra) > 0
	for _, peer := range m.Peers {
		i := index(peer.PodName)
		if strange = strange || i < 0; !strange {
			p.peers |= 1 << i
		}
	}
	for _, c := range m.Children {
		i := index(c.PodName)
		if strange = strange || i < 0; !strange {
			p.children += letters[i : i+1]
		}
	}
	for _, c := range m.Reclaimed {
		p.history += c.PodName + " "
	}
	if m.Active != nil {
		p.active = m.Active.SessionID[0]
	}
	if strange {
		p.history += "and more that nobody wrote"
	}
	return p
}
