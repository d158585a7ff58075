package cli

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"podstore/store/boltstore"
	"podstore/store/jsonexport"
	"podstore/store/socketstore"
)

// askName is the command that the completion scripts call:
//
//	podstore-migrate __complete SHELL LINE REPLACED
//
// LINE is the command line up to the cursor as it was typed. REPLACED is the end of it,
// which the shell replaces by a candidate. The first line of the answer is the kind of the
// candidates: words, nospace (words that will be continued), files or directories. The
// other lines are the words, quoted so that the shell can insert them as they are. So the
// shell evaluates neither what was typed nor names of Pods. Fish quotes words by itself: it
// gets them unquoted, with NUL in place of a new line.
const askName = "__complete"

// candidates are the words that fit at the cursor.
type candidates struct {
	kind  string // words, nospace, files or directories
	words []string
}

// answer answers a completion script.
func (c *console) answer(ctx context.Context, root *cobra.Command, args []string) {
	if len(args) != 3 {
		return
	}
	sh, known := shells[args[0]]
	words := sh.splitLine(args[1])
	last := words[len(words)-1]
	head, ok := strings.CutSuffix(last.raw, args[2])
	if !known || !ok || len(words) < 2 {
		return
	}
	found := c.candidates(ctx, root, words[1:])
	end := "\n"
	if sh == fish {
		end = "\x00"
	}
	c.writeText(found.kind + end)
	before := sh.splitLine(head)
	start := before[len(before)-1] // the part of the word that the shell keeps
	for _, word := range found.words {
		rest, fits := strings.CutPrefix(word, start.text)
		if !fits || !strings.HasPrefix(word, last.text) {
			continue
		}
		switch {
		case sh == fish:
			rest, fits = word, fishShows(word)
		case start.open:
			rest, fits = inQuotes(rest)
		default:
			rest = quoteForShell(rest)
		}
		if fits {
			c.writeText(rest + end)
		}
	}
}

// fishShows reports whether fish can show a word. It takes text after a tab for a
// description, and escapes no invisible characters except ASCII controls.
func fishShows(word string) bool {
	return !strings.ContainsFunc(word, func(r rune) bool { return r == '\t' || r >= '\x7f' && !visible(r) })
}

// candidates returns what fits in place of the last word.
func (c *console) candidates(ctx context.Context, root *cobra.Command, words []rawWord) candidates {
	cur := words[len(words)-1].text
	var args []string
	var cmd *cobra.Command
	var flag *pflag.Flag // its value comes next
	ended := false
	for _, w := range words[:len(words)-1] {
		switch {
		case flag != nil:
			flag = nil
		case w.text == "--" && !ended:
			ended = true
		case strings.HasPrefix(w.text, "-") && !ended:
			name, _, whole := strings.Cut(strings.TrimLeft(w.text, "-"), "=")
			if f := findFlag(root, cmd, name); f != nil && !whole && f.NoOptDefVal == "" {
				flag = f
			}
		case cmd == nil:
			if cmd = findCommand(root, w.text); cmd == nil {
				return candidates{kind: "words"}
			}
		default:
			args = append(args, w.text)
		}
	}
	name, _, isValue := strings.Cut(cur, "=")
	switch {
	case flag != nil:
		return flagValues(cmd, flag.Name, "")
	case strings.HasPrefix(cur, "--") && isValue && !ended:
		return flagValues(cmd, name[2:], name+"=")
	case strings.HasPrefix(cur, "-") && !ended:
		return flagNames(root, cmd)
	case cmd == nil:
		found := candidates{kind: "words"}
		for _, sub := range root.Commands() {
			found.words = append(found.words, sub.Name())
		}
		return found
	}
	return c.completeArg(ctx, root, cmd, args)
}

func findCommand(root *cobra.Command, name string) *cobra.Command {
	i := slices.IndexFunc(root.Commands(), func(cmd *cobra.Command) bool { return cmd.Name() == name })
	if i < 0 {
		return nil
	}
	return root.Commands()[i]
}

// findFlag finds a flag of a command, or if cmd is nil of any command.
func findFlag(root, cmd *cobra.Command, name string) *pflag.Flag {
	if cmd != nil {
		return cmd.Flags().Lookup(name)
	}
	for _, sub := range root.Commands() {
		if f := sub.Flags().Lookup(name); f != nil {
			return f
		}
	}
	return nil
}

func flagNames(root, cmd *cobra.Command) candidates {
	found := candidates{kind: "words", words: []string{"--help"}}
	cmp.Or(cmd, root).Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			found.words = append(found.words, "--"+f.Name)
		}
	})
	return found
}

// flagValues are the values of a flag, each after a prefix.
func flagValues(cmd *cobra.Command, flag, prefix string) candidates {
	if cmd == nil {
		return candidates{kind: "words"}
	}
	values := valuesOf(cmd, flag)
	if len(values) == 0 {
		return candidates{kind: cmp.Or(map[string]string{"sessions": "directories", "from": "files"}[flag], "words")}
	}
	found := candidates{kind: "words"}
	if strings.HasSuffix(values[0], "=") {
		found.kind = "nospace"
	}
	for _, v := range values {
		found.words = append(found.words, prefix+v)
	}
	return found
}

// valueKey is the annotation of a flag that has a fixed set of values.
const valueKey = "podstore values"

// completeFlag sets the values of a flag. One that ends in "=" will be continued.
func completeFlag(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.Flags().SetAnnotation(flag, valueKey, values); err != nil {
		panic(err) // there is no such flag
	}
}

func valuesOf(cmd *cobra.Command, flag string) []string {
	if f := cmd.Flags().Lookup(flag); f != nil {
		return f.Annotations[valueKey]
	}
	return nil
}

// completeArg completes an argument of a command by its kind: files, directories,
// and the names of the Pods in the database before.
func (c *console) completeArg(ctx context.Context, root, cmd *cobra.Command, args []string) candidates {
	switch argName(wantedOf(cmd), len(args)) {
	case "":
		return candidates{kind: "words"}
	case "DIR":
		return candidates{kind: "directories"}
	case "POD":
		names := podNames(ctx, args[0])
		return candidates{kind: "words", words: slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args[1:], name) })}
	case "SHELL":
		return candidates{kind: "words", words: []string{"bash", "fish", "zsh"}}
	case "COMMAND":
		return c.candidates(ctx, root, []rawWord{{}})
	}
	return candidates{kind: "files"}
}

// wantedOf are the names of a command's arguments.
func wantedOf(cmd *cobra.Command) []string {
	_, rest, _ := strings.Cut(cmd.Use, " ")
	return strings.Fields(strings.ReplaceAll(rest, "[flags]", ""))
}

// podNames lists Pods for completion, if the store can be read at once.
func podNames(ctx context.Context, db string) (names []string) {
	if path, ok := strings.CutPrefix(db, dirPrefix); ok {
		if d, err := jsonexport.OpenDir(path, &jsonexport.DirOptions{ReadOnly: true}); err == nil {
			names, _ = d.List(ctx)
		}
	} else if path, ok := strings.CutPrefix(db, socketPrefix); ok {
		if c, err := socketstore.Dial(ctx, path, &socketstore.Options{Patience: 100 * time.Millisecond, AnswerTimeout: time.Second}); err == nil {
			defer c.Close()
			names, _ = c.List(ctx)
		}
	} else if s, err := boltstore.Open(db, &boltstore.Options{ReadOnly: true, LockTimeout: 100 * time.Millisecond}); err == nil {
		defer s.Close()
		names, _ = s.List(ctx)
	}
	return names
}
