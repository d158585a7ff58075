package cli

import (
	"context"

	"podstore/store/jsonexport"
)

// besidesCounts counts what a directory has beside its Pods, in JSON.
type besidesCounts struct {
	Refused     int `json:"refused,omitempty"`
	Files       int `json:"files,omitempty"`
	Directories int `json:"directories,omitempty"`
}

// refusedItem is an entry of a directory in the place of a Pod, in JSON.
type refusedItem struct {
	head
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// besides prints and counts what a directory has beside its Pods, as import does.
func (c *console) besides(ctx context.Context, s opened) (besidesCounts, error) {
	dir, ok := s.MetadataStore.(*jsonexport.Dir)
	if !ok {
		return besidesCounts{}, nil
	}
	b, err := dir.Besides(ctx)
	for _, e := range b.Refused {
		c.note(exitPartial)
		c.emit(refusedItem{c.head("refused"), e.Path, reason(e)})
		c.say("refused %s: %s", e.Position(), reason(e))
	}
	if b.Files+b.Directories > 0 && err == nil {
		c.say("%s: besides %s", c.command, notPods(b.Files, b.Directories))
	}
	return besidesCounts{len(b.Refused), b.Files, b.Directories}, err
}

// notPods writes the counts of entries that are not Pods.
func notPods(files, directories int) string {
	return plural(files, "file") + " and " + plural(directories, "directory") + " without metadata.json"
}
