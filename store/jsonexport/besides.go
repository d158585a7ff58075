package jsonexport

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// Besides is what a directory holds beside the Pods that [Dir.List] names.
type Besides struct {
	// Refused are the entries in places for Pods that [Import] refuses: links, and
	// directories with a name that no Pod can have. Each error has the path and the
	// reason, and names no Pod. They are sorted by name.
	Refused []*store.Error
	// Files and Directories are counted as in [Report].
	Files, Directories int
}

// Besides reports every entry of the directory that is not a Pod.
func (d *Dir) Besides(ctx context.Context) (Besides, error) {
	var b Besides
	if err := ctx.Err(); err != nil {
		return b, err
	}
	p, err := d.open("list", "")
	if err != nil {
		return b, err
	}
	defer p.close()
	entries, err := p.root.Entries(p.path)
	if err != nil {
		return b, &store.Error{Op: "list", Path: p.path, Err: err}
	}
	for i, entry := range entries {
		if i%1000 == 0 && ctx.Err() != nil {
			return b, ctx.Err()
		}
		name := entry.Name()
		link := entry.Type()&fs.ModeSymlink != 0
		bad := store.ValidateName(name)
		switch {
		case !entry.IsDir() && !link:
			b.Files++
		case bad != nil:
			reason := bad
			if e := new(store.Error); errors.As(bad, &e) {
				reason = e.Err
			}
			b.Refused = append(b.Refused, &store.Error{Op: "list", Path: p.dir(name), Kind: store.ErrInvalidName, Err: reason})
		case link:
			b.Refused = append(b.Refused, &store.Error{Op: "list", Path: p.dir(name), Kind: store.ErrInvalid, Err: &osfs.NotA{Want: "a directory", Found: fs.ModeSymlink}})
		case !p.root.Has(name, fileName):
			b.Directories++
		}
	}
	slices.SortFunc(b.Refused, func(x, y *store.Error) int { return strings.Compare(x.Path, y.Path) })
	return b, nil
}
