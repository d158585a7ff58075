package boltstore

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"podstore/store"
)

// Compacting saves what Check estimates, to within one step by which a file grows. For
// a file that was just compacted the estimate is at most that step.
func TestReclaimable(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		pods, keep, manifest int
	}{{0, 0, 0}, {40, 40, 100}, {40, 2, 3000}, {400, 10, 5000}, {1500, 1500, 5000}, {1500, 300, 5000}, {3, 1, 3 << 20}} {
		s := openNew(t)
		var pods []*store.Metadata
		var names []string
		for i := range c.pods {
			names = append(names, fmt.Sprintf("pod-%04d", i))
			pods = append(pods, &store.Metadata{Manifest: []byte(`"` + strings.Repeat("x", c.manifest) + `"`)})
		}
		for _, put := range [][]*store.Metadata{pods, make([]*store.Metadata, c.pods-c.keep)} {
			if len(put) == 0 {
				continue
			}
			_, err := s.UpdatePods(ctx, names[:len(put)], func(now []*store.Metadata) error {
				copy(now, put)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		space := func(path string) Space {
			sum, err := Check(ctx, path, &Options{LockTimeout: 1}, func(f Finding) { t.Error(f) })
			if err != nil || sum.Pods != c.keep {
				t.Fatalf("%+v %v", sum, err)
			}
			return sum.Space
		}
		was := space(s.path)
		if err := Compact(ctx, s.path, s.path+".compact", nil); err != nil {
			t.Fatal(err)
		}
		is := space(s.path + ".compact")
		step := max(min(is.FileSize, allocSize), 64<<10)
		saved := was.FileSize - is.FileSize
		if said := was.Reclaimable(); said < saved-step || said > max(saved, 0)+step {
			t.Errorf("%+v: %d of %d bytes were said to be reclaimable, compacting saved %d", c, said, was.FileSize, saved)
		}
		if said := is.Reclaimable(); said > step {
			t.Errorf("%+v: after compacting to %d bytes %d are said to be reclaimable", c, is.FileSize, said)
		}
		t.Logf("%+v: file %d, said %d, saved %d, then %d", c, was.FileSize, was.Reclaimable(), saved, is.Reclaimable())
	}
}
