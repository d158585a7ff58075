package cli

import (
	"context"
	"fmt"
	"strings"

	"podstore/store/boltstore"
	"podstore/store/jsonexport"
)

// What edit, remove and prune have in common.

// openChange opens a place to change what it has; nothing is created. An edit of one
// Pod may be of a directory too.
func (c *console) openChange(ctx context.Context, s side, maxFileSize int64) (opened, error) {
	if err := ctx.Err(); err != nil {
		return opened{}, err
	}
	c.db = s
	switch s.kind {
	case inFile:
		db, err := c.open(ctx, s.path, &boltstore.Options{MustExist: true, AllowNetworkFS: c.allowNetwork, Logger: c.logger()})
		if err != nil {
			return opened{}, err
		}
		return opened{db, db.Close}, nil
	case inDirectory:
		d, err := jsonexport.OpenDir(s.path, &jsonexport.DirOptions{MustExist: true, MaxFileSize: maxFileSize})
		return opened{d, nothingToClose}, err
	case behindSocket:
		return dial(ctx, s.path)
	}
	return c.openScheme(ctx, s, false)
}

// several refuses a directory where Pods are to be changed together.
func (c *console) several(arg string) (side, error) {
	s, err := c.parseSide(arg)
	if err == nil && s.kind == inDirectory {
		err = c.misuse("%s changes several Pods at once, which a directory cannot; import %s into a database first", c.command, s.name())
	}
	return s, err
}

// asks reports whether there is somebody to be asked.
func (c *console) asks() bool { return isTerminal(c.stdin) && c.errTerminal && !c.json }

// ask puts a question and returns the first letter of the answer, which is one of
// those given; the last of them stands for what is no answer.
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

// readLine reads a line of standard input, and nothing of what comes after it: that is
// for the editor, or the next question.
func (c *console) readLine() string {
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if n, err := c.stdin.Read(b); n == 0 || err != nil || b[0] == '\n' {
			return string(line)
		}
	}
}
