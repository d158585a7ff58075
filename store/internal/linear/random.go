package linear

import (
	"context"
	"fmt"
	"time"

	"podstore/store"
)

func (c *caller) mark() string {
	c.marks++
	return fmt.Sprintf("m%d.%d", c.client, c.marks)
}

// call makes a random call, sometimes with a context that ends during it.
func (c *caller) call(ctx context.Context) {
	if c.r.IntN(5) == 0 {
		short, cancel := context.WithTimeout(ctx, time.Duration(c.r.Int64N(int64(2*c.Call+1))))
		defer cancel()
		ctx = short
	}
	what := call{pods: c.r.Perm(numPods)[:1+c.r.IntN(2)]}
	switch n := c.r.IntN(100); {
	case n < 25:
		what.kind, what.pods = read, what.pods[:1]
	case n < 30:
		what = call{kind: list}
	case n < 40 && c.can.updatePods:
		what.kind, what.pods = moment, c.r.Perm(numPods)[:2+c.r.IntN(3)]
	case n < 50:
		what.kind, what.pods, what.creates, what.mark = edit, what.pods[:1], true, c.mark()
	case n < 60 && c.can.updatePods:
		what.kind, what.mark = edit, c.mark()
	default:
		what = c.apply()
	}
	c.make(ctx, what)
}

// apply returns random changes. If they have an ID, they certainly change something.
func (c *caller) apply() call {
	what := call{kind: apply, asked: c.r.IntN(3) == 0}
	pod := c.r.IntN(numPods)
	if c.can.ids && c.r.IntN(3) == 0 {
		c.mu.Lock()
		c.ids++
		what.id = c.ids
		c.mu.Unlock()
		what.changes = append(what.changes, store.Change{Pod: letters[pod : pod+1], Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: c.mark()}}}, If: c.condition(pod, false)})
	}
	for more := 1 + c.r.IntN(3); len(what.changes) < more; {
		if c.can.several {
			pod = c.r.IntN(numPods)
		}
		ch := store.Change{Pod: letters[pod : pod+1], Op: c.op(), If: c.condition(pod, true)}
		if ch.Op != nil || ch.If != (store.Condition{}) {
			what.changes = append(what.changes, ch)
		}
	}
	return what
}

func (c *caller) condition(pod int, skip bool) store.Condition {
	switch n := c.r.IntN(12); {
	case n == 0:
		return store.Exists
	case n == 1:
		return store.Missing
	case n == 2 && skip:
		return store.SkipMissing
	case n < 5 && !c.last[pod].IsZero() && c.last[pod].Digest != 0:
		return store.AtRevision(c.last[pod])
	}
	return store.Condition{}
}

func (c *caller) op() store.Op {
	other := letters[c.r.IntN(numPods):][:1]
	switch c.r.IntN(16) {
	case 0, 1:
		return store.AddPeer{PodName: other}
	case 2:
		return store.RemovePeer{PodName: other}
	case 3:
		return store.SetPeers{}
	case 4:
		return store.AddChild{Child: store.SpawnedChild{PodName: other}}
	case 5:
		return store.RemoveChild{PodName: other}
	case 6, 7:
		return store.SetSegment{Active: store.PendingSegment(store.SessionID{byte(1 + c.r.IntN(200))})}
	case 8:
		return store.TrimReclaimed{}
	case 9, 10:
		return store.Delete{}
	case 11:
		if c.can.several && !c.MissesReferences {
			return store.Remove{}
		}
	case 12:
		m := &store.Metadata{Reclaimed: []store.ReclaimedChild{{PodName: c.mark()}}}
		return store.Put{Metadata: m}
	case 13:
		return nil
	}
	return store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: c.mark()}}}
}
