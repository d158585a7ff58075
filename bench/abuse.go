package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"podstore/store"
)

// Eight honest writers work through a socket with the limits that a server has by
// default, while others misuse it.

const (
	honestWriters = 8
	largePods     = 8
	largeManifest = 8 << 20
	quietAbuse    = "nobody"
)

// abuse is what so many connections do at the same time, each again and again.
type abuse struct {
	name  string
	conns int
	do    func(c net.Conn)
}

var abuses = []abuse{
	{"ask for everything, 64 MiB in it, and do not read", 60, func(c net.Conn) {
		send(c, "GET /v2/pods HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(15 * time.Second)
	}},
	{"read that at 28 KB a second", 60, func(c net.Conn) {
		send(c, "GET /v2/pods HTTP/1.1\r\nHost: x\r\n\r\n")
		trickle(c)
	}},
	{"read snapshots at 28 KB a second", 16, func(c net.Conn) {
		send(c, "GET /v2/snapshot HTTP/1.1\r\nHost: x\r\n\r\n")
		trickle(c)
	}},
	{"watch everything and do not read", 400, func(c net.Conn) {
		send(c, "GET /v2/watch HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(15 * time.Second)
	}},
	{"send half a body of 8 MiB", 200, func(c net.Conn) {
		send(c, "POST /v2/changes HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n")
		send(c, halfBody)
		time.Sleep(15 * time.Second)
	}},
	{"leave in the middle of a body", 32, func(c net.Conn) {
		send(c, "POST /v2/changes HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n"+strings.Repeat(" ", 64<<10))
		time.Sleep(50 * time.Millisecond)
	}},
	{"send garbage", 32, func(c net.Conn) {
		b := make([]byte, 4<<10)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		send(c, string(b))
		time.Sleep(50 * time.Millisecond)
	}},
	{"connect and say nothing", 2000, func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		time.Sleep(500 * time.Millisecond) // it was closed for another one
	}},
}

// halfBody is made once: what is measured is the server, not who misuses it.
var halfBody = strings.Repeat(" ", 4<<20)

// send writes what it can in the time that a server gives.
func send(c net.Conn, text string) {
	_ = c.SetWriteDeadline(time.Now().Add(15 * time.Second))
	_, _ = io.WriteString(c, text)
}

// trickle reads 28 KB a second for as long as it is given anything.
func trickle(c net.Conn) {
	b := make([]byte, 2800)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// abuseJob misuses a socket until there is nothing more to read.
func abuseJob(b *bench, j job, talk conversation) (done, error) {
	i := slices.IndexFunc(abuses, func(a abuse) bool { return a.name == j.Candidate })
	if i < 0 {
		return done{}, fmt.Errorf("there is no abuse %q", j.Candidate)
	}
	conns := abuses[i].conns
	if b.short {
		conns = min(conns, 16)
	}
	for range conns {
		go func() {
			for {
				c, err := net.Dial("unix", socketOf(j.Dir))
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				abuses[i].do(c)
				c.Close()
			}
		}()
	}
	time.Sleep(b.watching)
	if err := talk.Encode(true); err != nil {
		return done{}, err
	}
	if err := talk.Decode(new(any)); !errors.Is(err, io.EOF) {
		return done{}, err
	}
	return done{}, nil
}

func (b *bench) abuse() (err error) {
	if len(b.named(ours)) == 0 {
		return nil
	}
	of := podsOf(b.sizes[0])
	c, truth := podstoreCandidate(), newExpected(of)
	dir := b.files(c, of)
	if err := b.fill(c, of); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(dir))) }()
	server, err := b.serve(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.end()) }()
	if err := putLarge(dir, b.short); err != nil {
		return err
	}
	who := []string{quietAbuse}
	for _, a := range abuses {
		who = append(who, a.name)
	}
	for round, name := range who {
		if err := b.besideAbuse(dir, server, truth, name, round); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// putLarge makes the Pods whose answers are large.
func putLarge(dir string, short bool) error {
	p, err := dialPodstore(dir)
	if err != nil {
		return err
	}
	size := largeManifest
	if short {
		size = 64 << 10
	}
	for i := range largePods {
		m := &store.Metadata{PodName: fmt.Sprint("large-", i), Manifest: slices.Concat([]byte{'"'}, bytes.Repeat([]byte{'x'}, size-2), []byte{'"'})}
		if err := store.Do(context.Background(), p.s, m.PodName, store.Put{Metadata: m}); err != nil {
			return errors.Join(err, p.close())
		}
	}
	return p.close()
}

// besideAbuse lets the honest write while somebody misuses the socket.
// The server's memory is looked at from before that begins.
func (b *bench) besideAbuse(dir string, server *child, truth *expected, name string, round int) (err error) {
	most := mostAnonymous(server.cmd.Process.Pid)
	defer func() { _, err2 := most(); err = errors.Join(err, err2) }()
	if name != quietAbuse {
		a, err := b.start(job{Part: "abuse", Dir: dir, Candidate: name})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, a.end()) }()
		var ready bool
		if err := a.Decode(&ready); err != nil {
			return err
		}
	}
	p, err := dialPodstore(dir)
	if err != nil {
		return err
	}
	s, err := truth.write(3*b.watching, 0, honestWriters, honestWriters, uint64(round), p.setPeer)
	anonymous, merr := most()
	if err = errors.Join(err, merr, p.close()); err != nil {
		return err
	}
	r := s.result(result{Workload: besideAbuses, Candidate: name, Pods: truth.Pods, Writers: honestWriters, Anonymous: anonymous})
	b.add(r)
	b.progress("abuse: %s: %.0f/s, p99 %.2f ms, %d MiB", name, rate(r), r.P99/1000, anonymous>>20)
	return nil
}

// mostAnonymous looks at a process's memory until end is called, which returns the most
// there was.
func mostAnonymous(pid int) (end func() (int64, error)) {
	var most int64
	var failed error
	var looking sync.WaitGroup
	stop := make(chan struct{})
	looking.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for failed == nil {
			var now int64
			now, failed = anonymousOf(pid)
			most = max(most, now)
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	})
	return sync.OnceValues(func() (int64, error) {
		close(stop)
		looking.Wait()
		return most, failed
	})
}

// anonymousMiB is what of a process's memory is not backed by a file.
func anonymousMiB(r result) float64 { return float64(r.Anonymous) / (1 << 20) }

// anonymousOf reads it of a process.
func anonymousOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprint("/proc/", pid, "/status"))
	if err != nil {
		return 0, err
	}
	var kib int64
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	_, err = fmt.Sscan(rest, &kib)
	return kib << 10, err
}
