package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"podstore/cmd/podstore-migrate/internal/cli"
	"podstore/store"
)

// framePause is the least time between two drawings of changes: a store may change
// thousands of times a second.
const framePause = 100 * time.Millisecond

// program runs a model in the terminal. It implements tea.Model.
type program struct {
	*model
	ctx   context.Context
	from  cli.Source
	store store.MetadataStore // nil for a file, which is opened for each look
	inbox *inbox
}

// view shows a source until the operator quits or the context ends. It opens the source
// before it takes over the terminal, so that errors are printed normally. Afterwards the
// terminal is as it was, even after a panic.
func view(ctx context.Context, from cli.Source) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &program{model: newModel(from.Name, from.Live), ctx: ctx, from: from, inbox: newInbox()}
	p.now = time.Now()
	followed := make(chan struct{})
	if from.Live {
		s, closer, err := from.Open(ctx)
		if err != nil {
			cancel()
			return err
		}
		p.store = s
		defer func() {
			cancel()
			<-followed // after that nothing uses the store
			err = errors.Join(err, closer.Close())
		}()
	} else {
		defer cancel()
		b, err := readFile(ctx, from)
		if err != nil {
			return err
		}
		p.take(b, time.Now())
	}
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithoutSignalHandler()}
	// The library does not handle these variables fully: see no-color.org.
	switch terminal := os.Getenv("TERM"); {
	case terminal == "" || terminal == "dumb":
		opts = append(opts, tea.WithColorProfile(colorprofile.NoTTY))
	case os.Getenv("NO_COLOR") != "":
		opts = append(opts, tea.WithColorProfile(colorprofile.ASCII))
	}
	t := tea.NewProgram(p, opts...)
	go func() {
		defer close(followed)
		if !from.Live {
			return
		}
		defer func() {
			if r := recover(); r != nil {
				t.Send(broken{r}) // Update panics, after which the terminal is restored
			}
		}()
		p.inbox.follow(ctx, p.store)
	}()
	_, err = t.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// The messages from bubbletea besides keys.
type (
	tick    time.Time
	arrived struct{}
	loaded  struct {
		batch store.Batch
		err   error
	}
	podRead struct {
		ask  int
		meta *store.Metadata
		err  error
	}
	broken struct{ cause any }
)

// Init implements tea.Model.
func (p *program) Init() tea.Cmd {
	if !p.live {
		return everySecond()
	}
	return tea.Batch(everySecond(), p.await())
}

func everySecond() tea.Cmd {
	return tea.Tick(time.Second, func(t time.Time) tea.Msg { return tick(t) })
}

// await waits until something arrives.
func (p *program) await() tea.Cmd {
	return func() tea.Msg {
		pause(p.ctx, framePause)
		select {
		case <-p.inbox.wake:
			return arrived{}
		case <-p.ctx.Done():
			return nil
		}
	}
}

// Update implements tea.Model.
func (p *program) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var then tea.Cmd
	switch msg := msg.(type) {
	case tick:
		p.now, then = time.Time(msg), everySecond()
	case arrived:
		b, polls, err := p.inbox.take()
		p.polls = polls
		if err == nil || len(b.Events) > 0 { // events may have arrived before the error
			p.take(b, time.Now())
		}
		p.err, then = err, p.await()
	case loaded:
		if p.said, p.err = "", msg.err; msg.err == nil {
			p.take(msg.batch, time.Now())
		}
	case podRead:
		p.got(msg.ask, msg.meta, msg.err)
	case broken:
		panic(fmt.Sprintf("while watching: %v", msg.cause))
	case tea.WindowSizeMsg:
		p.resize(msg.Width, msg.Height)
	case tea.PasteMsg:
		p.paste(msg.Content)
	case tea.KeyPressMsg:
		then = p.do(p.key(msg.String(), msg.Key().Text))
	}
	if pod, ask := p.wanted(); ask != 0 {
		then = tea.Batch(then, func() tea.Msg {
			m, err := readPod(p.ctx, p.store, p.from, pod)
			return podRead{ask, m, err}
		})
	}
	return p, then
}

func (p *program) do(a action) tea.Cmd {
	switch a {
	case quit:
		return tea.Quit
	case suspend:
		return tea.Suspend
	case repaint:
		return tea.ClearScreen
	case reload:
		return func() tea.Msg {
			b, err := readFile(p.ctx, p.from)
			return loaded{b, err}
		}
	}
	return nil
}

// View implements tea.Model.
func (p *program) View() tea.View {
	v := tea.NewView(render(p.screen(), p.width))
	v.AltScreen = true
	return v
}

// render writes a screen with the control sequences of its looks. Colours are from the
// terminal's own palette. The library removes what the terminal cannot show.
func render(screen []line, columns int) string {
	sequences := map[look]string{strong: "\x1b[1m", faint: "\x1b[2m", good: "\x1b[32m", bad: "\x1b[31m"}
	var b strings.Builder
	for i, l := range screen {
		if i > 0 {
			b.WriteByte('\n')
		}
		text := l.text
		start := sequences[l.look&^cursor]
		if l.look&cursor != 0 {
			start += "\x1b[7m"
			text = pad(text, columns)
		}
		if start != "" {
			text = start + text + "\x1b[m"
		}
		b.WriteString(text)
	}
	return b.String()
}
