package cli

import (
	"context"
	"fmt"
	"strings"
)

// asks reports whether there is somebody to ask.
func (c *console) asks() bool { return isTerminal(c.stdin) && c.errTerminal && !c.json }

// ask asks a question and returns the first letter of the answer, one of letters. Any
// other answer, or none, counts as the last of them.
func (c *console) ask(ctx context.Context, question, letters string) (byte, error) {
	_ = c.out.Flush()
	c.clearBar()
	fmt.Fprintf(c.err, "%s [%s] ", oneLine(question), strings.Join(strings.Split(letters, ""), "/"))
	if err := c.queue.wait(ctx); err != nil {
		return 0, err
	}
	answered := make(chan string, 1)
	go func() { answered <- c.readLine() }()
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case line := <-answered:
		line = strings.ToLower(strings.TrimSpace(line))
		if line != "" && strings.Contains(letters, line[:1]) {
			return line[0], nil
		}
		return letters[len(letters)-1], nil
	}
}

// readLine reads one line of standard input and not a byte more: the rest is for the
// editor, or the next question.
func (c *console) readLine() string {
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if n, err := c.stdin.Read(b); n == 0 || err != nil || b[0] == '\n' {
			return string(line)
		}
	}
}
