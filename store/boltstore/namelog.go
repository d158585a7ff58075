package boltstore

import (
	"hash/maphash"
	"slices"
)

// nameLog records which Pods changed last. It holds no pointers, so that the garbage
// collector need not scan it. The zero value is empty.
type nameLog struct {
	entries []logEntry       // oldest first; only the last entry of a name counts
	latest  map[uint64]int32 // by hash of a name: the index of its last entry
	names   []byte           // the text of all names
	lost    int64            // the highest transaction of a dropped entry
}

// logEntry says that a transaction changed a Pod.
type logEntry struct {
	tx       int64
	sum      uint64
	from, to int32 // its name in names
}

// logNames is the least number of names that the log keeps.
const logNames = 1 << 14

var logSeed = maphash.MakeSeed()

func (l *nameLog) name(e logEntry) []byte { return l.names[e.from:e.to] }

func (l *nameLog) add(tx int64, name string) {
	if l.latest == nil {
		l.latest = make(map[uint64]int32)
	}
	if len(l.entries) == 2*logNames {
		l.compact()
	}
	e := logEntry{tx: tx, sum: maphash.String(logSeed, name)}
	i, ok := l.latest[e.sum]
	switch {
	case ok && string(l.name(l.entries[i])) == name:
		e.from, e.to = l.entries[i].from, l.entries[i].to
	default:
		if ok { // another name has the same hash: drop it
			l.lost = max(l.lost, l.entries[i].tx)
		}
		e.from = int32(len(l.names))
		l.names = append(l.names, name...)
		e.to = int32(len(l.names))
	}
	l.latest[e.sum] = int32(len(l.entries))
	l.entries = append(l.entries, e)
}

// compact drops the entries that no longer count, and then all but the last logNames.
func (l *nameLog) compact() {
	over := len(l.latest) - logNames
	was, names := l.entries, l.names
	l.entries, l.names = l.entries[:0], make([]byte, 0, len(names))
	for i, e := range was {
		if l.latest[e.sum] != int32(i) {
			continue
		}
		if over > 0 {
			over--
			l.lost = max(l.lost, e.tx)
			delete(l.latest, e.sum)
			continue
		}
		name := names[e.from:e.to]
		e.from = int32(len(l.names))
		l.names = append(l.names, name...)
		e.to = int32(len(l.names))
		l.latest[e.sum] = int32(len(l.entries))
		l.entries = append(l.entries, e)
	}
}

// since returns the wanted names that changed after a transaction. Some of them may
// have changed only after the moment that the caller reads. since reports false if the
// log does not reach back that far.
func (l *nameLog) since(tx int64, want func(string) bool) (names []string, ok bool) {
	if tx < l.lost {
		return nil, false
	}
	for i, e := range slices.Backward(l.entries) {
		if e.tx <= tx {
			break
		}
		if l.latest[e.sum] != int32(i) {
			continue
		}
		if name := string(l.name(e)); want(name) {
			names = append(names, name)
		}
	}
	return names, true
}
