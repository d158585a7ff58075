package cli

import (
	"context"
	"log/slog"
	"strings"
)

// logger prints the warnings of a store.
func (c *console) logger() *slog.Logger { return slog.New(warnings{c}) }

type warnings struct{ c *console }

func (w warnings) Enabled(_ context.Context, level slog.Level) bool { return level == slog.LevelWarn }

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	text := strings.TrimPrefix(r.Message, "podstore: ")
	r.Attrs(func(a slog.Attr) bool {
		if value := a.Value.String(); a.Key == "path" {
			text = place(nil, value) + ": " + text
		} else {
			text += "; " + a.Key + " " + value
		}
		return true
	})
	w.c.emit(warningItem{w.c.head("warning"), oneLine(text)})
	w.c.say("warning: %s", text)
	return nil
}

func (w warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

func (w warnings) WithGroup(string) slog.Handler { return w }

// warningItem is a warning in JSON.
type warningItem struct {
	head
	Message string `json:"message"`
}
