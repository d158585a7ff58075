package boltstore

import (
	"hash/maphash"
	"slices"
)

// nameLog is which Pods changed last. It has no pointers, which the garbage collector
// would follow again and again. The zero value is empty.
type nameLog struct {
	entries []logEntry       // the last changes at the end; of a name the last one counts
	latest  map[uint64]int32 // the place in entries that counts, by the sum of the name
	names   []byte           // that entries refer to
	lost    int64            // the highest transaction of a name that was dropped
}

// logEntry says that a transaction changed a Pod.
type logEntry struct {
	tx       int64
	sum      uint64
	from, to int32 // where its name is
}

// logNames is how many names the log keeps at least.
const logNames = 1 << 14

var logSeed = maphash.MakeSeed()

func (l *nameLog) name(e logEntry) []byte { return l.names[e.from:e.to] }

// add notes that a transaction changed a Pod.
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
		if ok { // another name with the same sum, which is dropped
			l.lost = max(l.lost, l.entries[i].tx)
		}
		e.from = int32(len(l.names))
		l.names = append(l.names, name...)
		e.to = int32(len(l.names))
	}
	l.latest[e.sum] = int32(len(l.entries))
	l.entries = append(l.entries, e)
}

// compact drops what no longer counts, and of the rest what is older than the last
// logNames.
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
			l.lost = e.tx
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

// since returns the names, of those that are wanted, that were changed after a
// transaction. Some may have been changed later than what the caller reads, and not
// before. It reports false where the log does not reach back so far.
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
