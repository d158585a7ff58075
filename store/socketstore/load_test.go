package socketstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"podstore/store"
	"podstore/store/socketstore"
)

func init() { roles["load"] = loadMain }

const (
	loadPods  = 16 // Pods of which each may become a peer of each
	loadProcs = 8
	loadEach  = 8 // goroutines of a process
)

func loadPod(i int) string { return fmt.Sprintf("pod-%02d", i) }

// loadManifest is about 4 KB, as manifests are.
var loadManifest = json.RawMessage(`{"model":"large-2","prompt":"` + strings.Repeat("You are an agent. ", 220) + `"}`)

func createLoadPods(ctx context.Context, s store.MetadataStore) error {
	for i := range loadPods {
		if err := store.Write(ctx, s, &store.Metadata{PodName: loadPod(i), Manifest: loadManifest}); err != nil {
			return err
		}
	}
	return nil
}

// peers has, by Pod, the peers that a worker has added and not removed. A peer whose
// fate it does not know is in unsure.
type peers struct {
	Sure   map[string][]string
	Unsure map[string][]string
	Done   int // changes that were acknowledged

	// What must be made once only: entries of histories, by Pod, and the count in the
	// worker's own Pod.
	Reclaimed, MaybeReclaimed map[string][]string
	Counted, MaybeCounted     int
	Name                      string
}

// worker adds and removes peers of its own, and links and unlinks Pods.
type worker struct {
	s    store.MetadataStore
	name string
	rng  *rand.Rand
	mine peers
}

func newWorker(s store.MetadataStore, name string, seed uint64) *worker {
	return &worker{s: s, name: name, rng: rand.New(rand.NewPCG(seed, 1)), mine: peers{Sure: map[string][]string{}, Unsure: map[string][]string{}, Reclaimed: map[string][]string{}, MaybeReclaimed: map[string][]string{}, Name: name}}
}

// step makes one change.
func (w *worker) step(ctx context.Context, i int) error {
	pod := loadPod(w.rng.IntN(loadPods))
	switch n := w.rng.IntN(10); {
	case n < 4:
		peer := fmt.Sprintf("%s-%d", w.name, i)
		err := store.Do(ctx, w.s, pod, store.AddPeer{PodName: peer})
		w.note(pod, peer, err)
		if err == nil {
			w.mine.Sure[pod] = append(w.mine.Sure[pod], peer)
		}
		return err
	case n < 7 && len(w.mine.Sure[pod]) > 0:
		peer := w.mine.Sure[pod][0]
		err := store.Do(ctx, w.s, pod, store.RemovePeer{PodName: peer})
		w.note(pod, peer, err)
		if err == nil || errors.Is(err, store.ErrUnknown) {
			w.mine.Sure[pod] = w.mine.Sure[pod][1:]
		}
		return err
	}
	other := loadPod(w.rng.IntN(loadPods))
	for other == pod {
		other = loadPod(w.rng.IntN(loadPods))
	}
	change := store.LinkPeers
	if w.rng.IntN(2) == 0 {
		change = store.UnlinkPeers
	}
	err := change(ctx, w.s, pod, other)
	w.note("", "", err)
	return err
}

// stepOnce makes one change that would show if it were made twice.
func (w *worker) stepOnce(ctx context.Context, i int) error {
	if w.rng.IntN(2) == 0 {
		pod, child := loadPod(w.rng.IntN(loadPods)), fmt.Sprintf("%s-%d", w.name, i)
		err := store.Do(ctx, w.s, pod, store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: child}}})
		switch {
		case err == nil:
			w.mine.Done++
			w.mine.Reclaimed[pod] = append(w.mine.Reclaimed[pod], child)
		case errors.Is(err, store.ErrUnknown):
			w.mine.MaybeReclaimed[pod] = append(w.mine.MaybeReclaimed[pod], child)
		}
		return err
	}
	_, err := w.s.Update(ctx, counterPod(w.name), func(m *store.Metadata) error {
		n, _ := strconv.Atoi(string(m.Manifest))
		m.Manifest = []byte(strconv.Itoa(n + 1))
		return nil
	})
	switch {
	case err == nil:
		w.mine.Done++
		w.mine.Counted++
	case errors.Is(err, store.ErrUnknown):
		w.mine.MaybeCounted++
	}
	return err
}

func counterPod(worker string) string { return "counter-" + worker }

// checkOnce checks what must have been made once.
func checkOnce(ctx context.Context, s store.MetadataStore, pods map[string]*store.Metadata, all []peers) error {
	var errs []error
	for name, m := range pods {
		times := map[string]int{}
		for _, r := range m.Reclaimed {
			times[r.PodName]++
		}
		for _, p := range all {
			for _, child := range p.Reclaimed[name] {
				if times[child] != 1 {
					errs = append(errs, fmt.Errorf("%s has reclaimed %s %d times", name, child, times[child]))
				}
				delete(times, child)
			}
			for _, child := range p.MaybeReclaimed[name] {
				if times[child] > 1 {
					errs = append(errs, fmt.Errorf("%s has reclaimed %s %d times", name, child, times[child]))
				}
				delete(times, child)
			}
		}
		for child := range times {
			errs = append(errs, fmt.Errorf("%s has reclaimed %s, which failed", name, child))
		}
	}
	for _, p := range all {
		count := 0
		m, err := s.Read(ctx, counterPod(p.Name))
		if err == nil {
			count, err = strconv.Atoi(string(m.Manifest))
		}
		if p.Counted == 0 && errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		if err != nil || count < p.Counted || count > p.Counted+p.MaybeCounted {
			errs = append(errs, fmt.Errorf("%s counts %d (%v), and %d to %d were made", p.Name, count, err, p.Counted, p.Counted+p.MaybeCounted))
		}
	}
	return errors.Join(errs...)
}

func (w *worker) note(pod, peer string, err error) {
	switch {
	case err == nil:
		w.mine.Done++
	case errors.Is(err, store.ErrUnknown) && pod != "":
		w.mine.Unsure[pod] = append(w.mine.Unsure[pod], peer)
	}
}

// load makes several workers make some changes each.
func load(ctx context.Context, s store.MetadataStore, name string, goroutines, changes int) ([]peers, error) {
	all := make([]peers, goroutines)
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			w := newWorker(s, fmt.Sprintf("%s-%d", name, g), uint64(g)<<32+uint64(len(name)))
			for i := range changes {
				if errs[g] = w.step(ctx, i); errs[g] != nil {
					return
				}
			}
			all[g] = w.mine
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

// loadMain is a client process: SOCKET NAME CHANGES. It prints "ready", starts when it
// reads a line, and prints what its workers have left.
func loadMain() {
	s, err := socketstore.Dial(background, os.Args[1], nil)
	if err != nil {
		log.Fatal(err)
	}
	changes, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	if _, err := fmt.Scanln(); err != nil && err.Error() != "unexpected newline" {
		log.Fatal(err)
	}
	all, err := load(context.Background(), s, os.Args[2], loadEach, changes)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		log.Fatal(err)
	}
}

// checkLoad compares the Pods with what the workers know: no update is lost, and none
// is there that nobody made.
func checkLoad(pods map[string]*store.Metadata, all []peers) error {
	var errs []error
	for name, m := range pods {
		want, unsure := map[string]bool{}, map[string]bool{}
		for _, p := range all {
			for _, peer := range p.Sure[name] {
				want[peer] = true
			}
			for _, peer := range p.Unsure[name] {
				unsure[peer] = true
			}
		}
		for _, p := range m.Peers {
			if pods[p.PodName] == nil && !want[p.PodName] && !unsure[p.PodName] {
				errs = append(errs, fmt.Errorf("%s has peer %s, which was removed or never added", name, p.PodName))
			}
			delete(want, p.PodName)
		}
		for peer := range want {
			errs = append(errs, fmt.Errorf("%s lacks peer %s: an acknowledged update is lost", name, peer))
		}
	}
	return errors.Join(append(errs, oneSided(pods))...)
}

// oneSided fails the test if only one of two linked Pods has the link.
func oneSided(pods map[string]*store.Metadata) error {
	for name, m := range pods {
		for _, p := range m.Peers {
			if o := pods[p.PodName]; o != nil && !slices.Contains(o.Peers, store.Peer{PodName: name}) {
				return fmt.Errorf("%s has peer %s, which does not have %s", name, p.PodName, name)
			}
		}
	}
	return nil
}
