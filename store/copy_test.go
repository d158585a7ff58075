package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

// item is one thing that a source yields.
type item struct {
	m   *store.Metadata
	err error
}

func source(items ...item) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		for _, it := range items {
			if !yield(it.m, it.err) {
				return
			}
		}
	}
}

func pod(name, manifest string) item {
	m := &store.Metadata{PodName: name}
	if manifest != "" {
		m.Manifest = []byte(manifest)
	}
	return item{m: m}
}

func unreadable(name string) item {
	return item{err: &store.Error{Op: "read", Pod: name, Kind: store.ErrCorrupt}}
}

// targets are stores that change several Pods at once, and that do not. spoil
// damages one Pod.
var targets = map[string]func(t *testing.T) (s store.MetadataStore, spoil func(pod string)){
	"transactions": func(*testing.T) (store.MetadataStore, func(string)) {
		s := memstore.New()
		return s, func(pod string) { s.Damage(pod) }
	},
	"one by one": func(*testing.T) (store.MetadataStore, func(string)) {
		s := memstore.New()
		return onePod{s}, func(pod string) { s.Damage(pod) }
	},
	"in batches": func(*testing.T) (store.MetadataStore, func(string)) {
		s := memstore.New()
		return batched{onePod{s}}, func(pod string) { s.Damage(pod) }
	},
	"combined": func(*testing.T) (store.MetadataStore, func(string)) {
		s := memstore.New()
		return store.NewCombined(nil, batched{onePod{s}}), func(pod string) { s.Damage(pod) }
	},
}

// narrow is a store that takes few Pods in one Apply.
type narrow struct {
	store.MetadataStore
	limit int
	takes []int // how many changes each Apply had that was taken
}

func (s *narrow) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	if len(changes) > s.limit {
		return nil, &store.Error{Op: "apply", Kind: store.ErrTooLarge, Err: fmt.Errorf("%d Pods", len(changes))}
	}
	s.takes = append(s.takes, len(changes))
	return s.MetadataStore.Apply(ctx, changes, opts)
}

// copyAll copies and returns the outcomes in order, as "pod outcome".
func copyAll(t *testing.T, dst store.MetadataStore, src iter.Seq2[*store.Metadata, error], opts store.CopyOptions) ([]string, []store.CopyResult, store.CopySummary, error) {
	t.Helper()
	var got []string
	var results []store.CopyResult
	opts.Progress = func(r store.CopyResult) {
		if (r.Err != nil) != (r.Outcome == store.Refused || r.Outcome == store.Conflict) {
			t.Errorf("%+v", r)
		}
		got = append(got, fmt.Sprintf("%s %s", r.Pod, r.Outcome))
		results = append(results, r)
	}
	summary, err := store.Copy(t.Context(), dst, src, opts)
	if n := summary.Written + summary.Unchanged + summary.Conflicts + summary.Refused; n != len(got) {
		t.Errorf("the summary counts %d, reported were %q", n, got)
	}
	return got, results, summary, err
}

func list(t *testing.T, s store.MetadataStore) []string {
	t.Helper()
	names, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestCopyOutcomes(t *testing.T) {
	for name, open := range targets {
		t.Run(name, func(t *testing.T) {
			dst, _ := open(t)
			for _, it := range []item{pod("b", "1"), pod("c", "2")} {
				if err := store.Write(t.Context(), dst, it.m); err != nil {
					t.Fatal(err)
				}
			}
			general := errors.New("the source is not whole")
			items := []item{pod("a", "0"), pod("b", "1"), {err: general}, pod("c", "3"), unreadable("d"), pod("e", ""), pod("bad/name", "")}
			want := []string{"a written", "b unchanged", "c conflict", "d refused", "e written", "bad/name refused"}
			for _, dry := range []bool{true, false} {
				got, results, _, err := copyAll(t, dst, source(items...), store.CopyOptions{DryRun: dry})
				if !errors.Is(err, general) || !reflect.DeepEqual(got, want) {
					t.Errorf("dry %v: got %q, %v", dry, got, err)
				}
				if c := results[2]; c.Field != "resolved_manifest_snapshot" || !errors.Is(c.Err, store.ErrExists) {
					t.Errorf("conflict %+v", c)
				}
				if !errors.Is(results[3].Err, store.ErrCorrupt) || !errors.Is(results[5].Err, store.ErrInvalidName) {
					t.Errorf("refused %+v %+v", results[3], results[5])
				}
				if dry && len(list(t, dst)) != 2 {
					t.Error("a dry run wrote something")
				}
			}
			if m, err := dst.Read(t.Context(), "c"); err != nil || string(m.Manifest) != "2" {
				t.Errorf("a conflict was not kept: %v, %v", m, err)
			}
			got, _, _, err := copyAll(t, dst, source(items...), store.CopyOptions{Overwrite: true})
			want = []string{"a unchanged", "b unchanged", "c written", "d refused", "e unchanged", "bad/name refused"}
			if !errors.Is(err, general) || !reflect.DeepEqual(got, want) {
				t.Errorf("overwrite: got %q, %v", got, err)
			}
			if m, err := dst.Read(t.Context(), "c"); err != nil || string(m.Manifest) != "3" {
				t.Errorf("not overwritten: %v, %v", m, err)
			}
		})
	}
}

// TestCopyAroundDamage: a Pod that dst holds damaged does not stop its batch.
func TestCopyAroundDamage(t *testing.T) {
	for name, open := range targets {
		t.Run(name, func(t *testing.T) {
			s, spoil := open(t)
			if err := store.Write(t.Context(), s, &store.Metadata{PodName: "m"}); err != nil {
				t.Fatal(err)
			}
			spoil("m")
			items := []item{unreadable("a"), pod("b", ""), pod("m", "1"), pod("x", ""), pod("y", "")}
			got, results, _, err := copyAll(t, s, source(items...), store.CopyOptions{})
			if want := []string{"a refused", "b written", "m refused", "x written", "y written"}; err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got %q, %v", got, err)
			}
			if !errors.Is(results[2].Err, store.ErrCorrupt) {
				t.Errorf("refused %+v", results[2])
			}
			for _, dry := range []bool{true, false} {
				got, _, _, err = copyAll(t, s, source(items...), store.CopyOptions{Overwrite: true, DryRun: dry})
				if want := []string{"a refused", "b unchanged", "m written", "x unchanged", "y unchanged"}; err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("dry %v: got %q, %v", dry, got, err)
				}
			}
			if m, err := s.Read(t.Context(), "m"); err != nil || string(m.Manifest) != "1" {
				t.Errorf("not healed: %v, %v", m, err)
			}
		})
	}
}

// TestCopyRefusesWhatTargetDoesNotTake: what breaks a rule is refused alone.
func TestCopyRefusesWhatTargetDoesNotTake(t *testing.T) {
	for name, open := range targets {
		t.Run(name, func(t *testing.T) {
			dst, _ := open(t)
			got, _, _, err := copyAll(t, dst, source(pod("a", ""), pod("b", "{"), pod("c", "")), store.CopyOptions{})
			if want := []string{"a written", "b refused", "c written"}; err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestCopyAtomic(t *testing.T) {
	dst, spoil := targets["transactions"](t)
	for _, it := range []item{pod("c", "2"), pod("s", "1")} {
		if err := store.Write(t.Context(), dst, it.m); err != nil {
			t.Fatal(err)
		}
	}
	spoil("s")
	overwrite := store.CopyOptions{Overwrite: true}
	for _, c := range []struct {
		name  string
		items []item
		opts  store.CopyOptions
		want  []string
		names int
	}{
		{"refused", []item{pod("a", ""), unreadable("b")}, store.CopyOptions{}, []string{"b refused"}, 2},
		{"refused by dst", []item{pod("a", ""), pod("b", "{")}, overwrite, []string{"b refused"}, 2},
		{"twice", []item{pod("a", ""), pod("b", ""), pod("a", "1")}, overwrite, []string{"a refused"}, 2},
		{"conflict", []item{pod("a", ""), pod("c", "3")}, store.CopyOptions{}, []string{"c conflict"}, 2},
		{"damaged", []item{pod("a", ""), pod("s", "3")}, store.CopyOptions{}, []string{"s refused"}, 2},
		{"dry", []item{pod("a", ""), pod("c", "3")}, store.CopyOptions{Overwrite: true, DryRun: true}, []string{"a written", "c written"}, 2},
		{"no Pods", nil, store.CopyOptions{}, nil, 2},
		{"only wrong", []item{unreadable("x")}, store.CopyOptions{}, []string{"x refused"}, 2},
		{"overwrite", []item{pod("b", ""), pod("c", "2"), pod("s", "3")}, overwrite, []string{"b written", "c unchanged", "s written"}, 3},
	} {
		c.opts.Atomic = true
		got, _, _, err := copyAll(t, dst, source(c.items...), c.opts)
		if err != nil || !reflect.DeepEqual(got, c.want) || len(list(t, dst)) != c.names {
			t.Errorf("%s: got %q, %v, stored %q", c.name, got, err, list(t, dst))
		}
	}
	var many []item
	for i := range 2500 {
		many = append(many, pod(fmt.Sprintf("pod-%04d", i), ""))
	}
	got, _, _, err := copyAll(t, dst, source(many...), store.CopyOptions{Atomic: true})
	if err != nil || len(got) != 2500 || len(list(t, dst)) != 2503 {
		t.Errorf("more than a batch: %d, %v", len(got), err)
	}
	for _, name := range []string{"one by one", "in batches", "combined"} {
		one, _ := targets[name](t)
		if _, _, _, err := copyAll(t, one, source(pod("a", ""), pod("b", "")), store.CopyOptions{Atomic: true}); !errors.Is(err, errors.ErrUnsupported) || len(list(t, one)) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// meddled is a store to which another writer writes before each Apply.
type meddled struct {
	*memstore.Store
	meddle func(s *memstore.Store)
}

func (s meddled) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	s.meddle(s.Store)
	return s.Store.Apply(ctx, changes, opts)
}

// TestCopyAmongOtherWriters: what others wrote after the copy had looked is judged as
// it is.
func TestCopyAmongOtherWriters(t *testing.T) {
	items := []item{pod("a", "1"), pod("b", "2"), pod("c", "3"), pod("u", "4")}
	for name, c := range map[string]struct {
		opts    store.CopyOptions
		want    []string
		b, gone string // what is stored of b, and what of Pods is not there
	}{
		"kept":       {store.CopyOptions{}, []string{"a unchanged", "b conflict", "c written", "u conflict"}, `"theirs"`, ""},
		"overwrite":  {store.CopyOptions{Overwrite: true}, []string{"a written", "b written", "c written", "u unchanged"}, "2", ""},
		"atomic":     {store.CopyOptions{Atomic: true}, []string{"b conflict", "u conflict"}, `"theirs"`, "c"},
		"all or all": {store.CopyOptions{Atomic: true, Overwrite: true}, []string{"a unchanged", "b written", "c written", "u written"}, "2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := memstore.New()
			if err := store.Write(t.Context(), s, pod("u", "4").m); err != nil {
				t.Fatal(err)
			}
			dst := meddled{s, func(s *memstore.Store) {
				for _, it := range []item{pod("a", "1"), pod("b", `"theirs"`), pod("u", `"theirs"`)} {
					if m, err := s.Read(t.Context(), it.m.PodName); err == nil && string(m.Manifest) == `"theirs"` {
						continue
					}
					if err := store.Write(t.Context(), s, it.m); err != nil {
						t.Fatal(err)
					}
				}
			}}
			got, _, _, err := copyAll(t, dst, source(items...), c.opts)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %q, %v", got, err)
			}
			if m, err := s.Read(t.Context(), "b"); err != nil || string(m.Manifest) != c.b {
				t.Errorf("b is %v, %v", m, err)
			}
			if c.gone != "" && slices.Contains(list(t, s), c.gone) {
				t.Errorf("%s was written", c.gone)
			}
		})
	}
	t.Run("for ever", func(t *testing.T) {
		s := memstore.New()
		dst := flickering{s}
		got, _, _, err := copyAll(t, dst, source(pod("a", "1"), pod("b", "2")), store.CopyOptions{})
		if err != nil || !slices.Equal(got, []string{"a refused", "b written"}) {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// flickering is a store in which others create a Pod before each Apply, and delete it
// again.
type flickering struct{ *memstore.Store }

func (s flickering) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	if err := store.Write(ctx, s.Store, &store.Metadata{PodName: "a"}); err != nil {
		return nil, err
	}
	defer func() { _ = store.Do(ctx, s.Store, "a", store.Delete{}) }()
	return s.Store.Apply(ctx, changes, opts)
}

// TestCopyTakesTimes: of each Pod, as far as the source knows them.
func TestCopyTakesTimes(t *testing.T) {
	created, changed := time.UnixMilli(1_600_000_000_123).UTC(), time.UnixMilli(1_700_000_000_456).UTC()
	full, half := pod("full", ""), pod("half", "")
	full.m.Version = store.Version{Created: created, Changed: changed}
	half.m.Version.Changed = changed
	for name, open := range targets {
		t.Run(name, func(t *testing.T) {
			dst, _ := open(t)
			if got, _, _, err := copyAll(t, dst, source(full, half, pod("none", "")), store.CopyOptions{}); err != nil || len(got) != 3 {
				t.Fatalf("got %q, %v", got, err)
			}
			for pod, want := range map[string]store.Version{"full": full.m.Version, "half": {Created: changed, Changed: changed}, "none": {}} {
				m, err := dst.Read(t.Context(), pod)
				if err != nil {
					t.Fatal(err)
				}
				if !m.Version.Created.IsZero() && !want.Created.IsZero() && !m.Version.Created.Equal(want.Created) ||
					!want.Changed.IsZero() && !m.Version.Changed.Equal(want.Changed) || m.Version.Changed.IsZero() {
					t.Errorf("%s: %+v, expected %+v", pod, m.Version, want)
				}
			}
		})
	}
}

// failing is a store in which everything that concerns a Pod fails in one way.
type failing struct {
	store.MetadataStore
	err error
}

func (s failing) Read(context.Context, string) (*store.Metadata, error) { return nil, s.err }

func (s failing) Apply(context.Context, []store.Change, *store.ApplyOptions) ([]store.Applied, error) {
	return nil, s.err
}

// reading is a store that can be read but not written.
type reading struct{ failing }

func (s reading) Read(ctx context.Context, name string) (*store.Metadata, error) {
	return s.MetadataStore.Read(ctx, name)
}

// denying is a store in which one Pod cannot be read, or not be changed.
type denying struct {
	*memstore.Store
	denied *store.Error
	read   bool
}

func (s denying) Read(ctx context.Context, name string) (*store.Metadata, error) {
	if s.read && name == s.denied.Pod {
		return nil, s.denied
	}
	return s.Store.Read(ctx, name)
}

func (s denying) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	if changes[0].Pod == s.denied.Pod {
		return nil, s.denied
	}
	return s.Store.Apply(ctx, changes, opts)
}

// TestCopyStops: an error that concerns the whole target ends the copy, one that
// concerns a Pod does not.
func TestCopyStops(t *testing.T) {
	dst := memstore.New()
	if err := store.Write(t.Context(), dst, pod("a", "1").m); err != nil {
		t.Fatal(err)
	}
	items := []item{pod("a", ""), pod("b", "")}
	overwrite := store.CopyOptions{Overwrite: true}
	for _, kind := range []error{store.ErrNoSpace, store.ErrReadOnly, store.ErrClosed, store.ErrLocked, store.ErrUnusable, store.ErrUnavailable} {
		for _, s := range []store.MetadataStore{failing{dst, kind}, reading{failing{dst, kind}}} {
			got, _, _, err := copyAll(t, s, source(items...), overwrite)
			if !errors.Is(err, kind) || len(got) != 0 {
				t.Errorf("%T %v: got %q, %v", s, kind, got, err)
			}
		}
	}
	denied := &store.Error{Pod: "a", Err: errors.New("permission denied")}
	for _, read := range []bool{true, false} {
		inner := memstore.New()
		if err := store.Write(t.Context(), inner, pod("a", "1").m); err != nil {
			t.Fatal(err)
		}
		s := onePod{denying{inner, denied, read}}
		for _, s := range []store.MetadataStore{s, batched{s}} {
			got, _, _, err := copyAll(t, s, source(items...), overwrite)
			if err != nil || got[0] != "a refused" || got[1] == "b refused" {
				t.Errorf("read %v: got %q, %v", read, got, err)
			}
		}
	}
}

// TestCopyCancelled: the source is left, what was reported is stored, and the
// rest is not.
func TestCopyCancelled(t *testing.T) {
	for name, open := range targets {
		t.Run(name, func(t *testing.T) {
			dst, _ := open(t)
			ctx, cancel := context.WithCancel(t.Context())
			yielded, ended := 0, false
			src := func(yield func(*store.Metadata, error) bool) {
				defer func() { ended = true }()
				for i := 0; ; i++ {
					yielded++
					if !yield(pod(fmt.Sprintf("pod-%06d", i), "").m, nil) {
						return
					}
				}
			}
			reported := 0
			_, err := store.Copy(ctx, dst, src, store.CopyOptions{Progress: func(store.CopyResult) {
				if reported++; reported == 1 {
					cancel()
				}
			}})
			if !errors.Is(err, context.Canceled) || !ended || reported != len(list(t, dst)) || reported == yielded {
				t.Errorf("%v, ended %v, %d yielded, %d reported, %d stored", err, ended, yielded, reported, len(list(t, dst)))
			}
			before := reported
			if _, err := store.Copy(ctx, dst, source(pod("z", "")), store.CopyOptions{}); !errors.Is(err, context.Canceled) || before != len(list(t, dst)) {
				t.Errorf("with a context that has ended: %v", err)
			}
		})
	}
}

// TestCopyBoundsBatches: large Pods are written before a thousand have come.
func TestCopyBoundsBatches(t *testing.T) {
	dst, _ := targets["transactions"](t)
	large := `"` + strings.Repeat("x", 20<<20) + `"`
	first := make(chan struct{})
	src := func(yield func(*store.Metadata, error) bool) {
		for i := range 2 {
			if !yield(pod(fmt.Sprint(i), large).m, nil) {
				return
			}
		}
		<-first // ends only when the first batch is written
		yield(pod("last", "").m, nil)
	}
	reported := 0
	_, err := store.Copy(t.Context(), dst, src, store.CopyOptions{Progress: func(store.CopyResult) {
		if reported++; reported == 1 {
			close(first)
		}
	}})
	if err != nil || reported != 3 {
		t.Errorf("%d reported, %v", reported, err)
	}
}

// TestCopyHalvesWhatIsTooLarge: a target with narrow limits gets smaller batches,
// in order, unless the copy must be one change.
func TestCopyHalvesWhatIsTooLarge(t *testing.T) {
	s := &narrow{MetadataStore: memstore.New(), limit: 3}
	var items []item
	var want []string
	for i := range 10 {
		items = append(items, pod(fmt.Sprint(i), ""))
		want = append(want, fmt.Sprintf("%d written", i))
	}
	items = append(items, unreadable("x"))
	if _, _, _, err := copyAll(t, s, source(items[:10]...), store.CopyOptions{Atomic: true}); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("an atomic copy that is too large: %v", err)
	}
	if names := list(t, s); len(names) != 0 {
		t.Errorf("an atomic copy that failed wrote %q", names)
	}
	got, _, _, err := copyAll(t, s, source(items...), store.CopyOptions{})
	if want = append(want, "x refused"); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	if len(list(t, s)) != 10 || len(s.takes) > 5 {
		t.Errorf("Apply was given %v changes, stored are %q", s.takes, list(t, s))
	}
}

// TestCopySourceWithOnePodTwice: the second is compared with the first.
func TestCopySourceWithOnePodTwice(t *testing.T) {
	for name, open := range targets {
		t.Run(name, func(t *testing.T) {
			dst, _ := open(t)
			got, _, _, err := copyAll(t, dst, source(pod("a", "1"), pod("b", ""), pod("a", "1"), pod("a", "2")), store.CopyOptions{})
			if want := []string{"a written", "b written", "a unchanged", "a conflict"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
