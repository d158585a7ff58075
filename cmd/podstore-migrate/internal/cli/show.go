package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/jsonvalue"
	"podstore/store/podjson"
)

const showHelp = `Show prints one Pod as canonical JSON: exactly the bytes that export writes to its
metadata.json, without a newline at the end. On a terminal it adds a newline, and escapes
characters that the terminal would act upon.

With --field it prints one field, with a newline at the end, or null if the Pod does not
have it. The field is name, active, session, segment, children, reclaimed, peers,
manifest, the field's name in metadata.json, or another field of the Pod.`

func showCmd(c *console) *cobra.Command {
	var field string
	var maxFileSize int64
	cmd := command(c, "show [flags] DB POD", "Print one Pod as JSON", showHelp,
		`  podstore-migrate show pods.db supervisor
  podstore-migrate show --field peers pods.db supervisor`,
		func(ctx context.Context, args []string) error {
			return runShow(ctx, c, args[0], args[1], field, maxFileSize)
		})
	cmd.Flags().StringVar(&field, "field", "", "print this field alone, such as peers")
	maxFileSizeFlag(cmd.Flags(), &maxFileSize)
	completeFlag(cmd, "field", "name", "active", "session", "segment", "children", "reclaimed", "peers", "manifest")
	return cmd
}

func runShow(ctx context.Context, c *console, db, pod, field string, maxFileSize int64) error {
	c.resume = "show changes nothing; run the same command again"
	s, err := c.openRead(ctx, db, maxFileSize)
	if err != nil {
		return err
	}
	m, err := c.readNamed(ctx, s, pod)
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	return c.show(m, field)
}

// readNamed reads the Pod that an argument names. If there is none, it looks for one whose
// name list prints like the argument, in quotes, for the hint.
func (c *console) readNamed(ctx context.Context, s store.MetadataStore, pod string) (*store.Metadata, error) {
	m, err := s.Read(ctx, pod)
	if errors.Is(err, store.ErrNotFound) && strings.HasPrefix(pod, `"`) {
		if name, bad := strconv.Unquote(pod); bad == nil {
			if _, missing := s.Read(ctx, name); missing == nil || errors.Is(missing, store.ErrCorrupt) {
				c.similar = name
			}
		}
	}
	return m, err
}

func (c *console) show(m *store.Metadata, field string) error {
	doc := podjson.Append(nil, m)
	if field == "" {
		c.emit(metadataItem{c.head("pod"), m.PodName, doc, m.Version.Revision.String(), knownTime(m.Version.Created), knownTime(m.Version.Changed)})
		c.print("%s", doc)
		if c.terminal {
			c.print("\n")
		}
		return nil
	}
	value, ok := namedField(m, doc, field)
	switch {
	case ok:
	case fieldNames[shortName(field)] != "":
		value = []byte("null")
	default:
		fields := append(slices.Clone(store.FieldNames()), slices.Sorted(maps.Keys(m.Extra))...)
		return &store.Error{Op: "show", Pod: m.PodName, Err: fmt.Errorf("no field %q; there are %s", field, strings.Join(fields, ", "))}
	}
	c.emit(fieldItem{c.head("field"), m.PodName, field, value})
	c.print("%s\n", value)
	return nil
}

// metadataItem is a Pod in JSON.
type metadataItem struct {
	head
	Pod      string          `json:"pod"`
	Metadata json.RawMessage `json:"metadata"`
	Revision string          `json:"revision"`
	Created  *string         `json:"created"`
	Changed  *string         `json:"changed"`
}

// fieldItem is one field of a Pod in JSON.
type fieldItem struct {
	head
	Pod   string          `json:"pod"`
	Field string          `json:"field"`
	Value json.RawMessage `json:"value"`
}

// namedField is the value of a field by any of its names.
func namedField(m *store.Metadata, doc []byte, field string) ([]byte, bool) {
	id := ""
	switch short := shortName(field); short {
	case "session":
		id, _ = ids(m.Active)
	case "segment":
		_, id = ids(m.Active)
	default:
		if long := fieldNames[short]; long != "" {
			field = long
		}
		return topField(doc, field)
	}
	return jsonvalue.AppendString(nil, id), id != ""
}

// topField cuts the value of a top-level field out of a canonical document and
// removes its indentation. In canonical JSON a line that begins with two
// spaces and a quote is a top-level field, since strings have no line breaks.
func topField(doc []byte, field string) ([]byte, bool) {
	start := append(jsonvalue.AppendString([]byte("\n  "), field), ": "...)
	i := bytes.Index(doc, start)
	if i < 0 {
		return nil, false
	}
	value := doc[i+len(start):]
	end := bytes.Index(value, []byte("\n  \""))
	if end < 0 {
		end = len(value) - len("\n}")
	}
	value = bytes.TrimSuffix(value[:end], []byte(","))
	return bytes.ReplaceAll(value, []byte("\n  "), []byte("\n")), true
}
