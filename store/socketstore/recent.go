package socketstore

import "sync"

// recent keeps the values that were put last, by their keys: at least limit of their
// weight, at most twice that. It is safe for concurrent use.
type recent[K comparable, V any] struct {
	limit int

	mu         sync.Mutex // guards the fields below
	young, old map[K]V
	weight     int // of young
}

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{limit: limit, young: map[K]V{}}
}

func (r *recent[K, V]) get(k K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.young[k]
	if !ok {
		v, ok = r.old[k]
	}
	return v, ok
}

// put keeps a value. The weight of a key stays the same for as long as it is kept.
func (r *recent[K, V]) put(k K, v V, weight int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.young[k]; !ok {
		if r.weight >= r.limit {
			r.old, r.young, r.weight = r.young, map[K]V{}, 0
		}
		r.weight += weight
	}
	r.young[k] = v
}
