//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"podstore/store/socketstore"
)

// govern starts one server after the other and ends each in its own way, until the
// context ends. A last server then answers the workers, which finish what they began.
func (p *place) govern(ctx context.Context, done <-chan struct{}) {
	r := p.random()
	for ctx.Err() == nil {
		server := p.start(r)
		if server == nil {
			return
		}
		p.trouble(ctx, r, server)
		if ctx.Err() == nil {
			p.between(r)
		}
	}
	if server := p.start(r); server != nil {
		<-done
		p.atMost(1, "sockets of the server", func() int { return descriptors(server.Process.Pid, "socket:") })
		p.end(server, syscall.SIGTERM)
	}
}

// start starts one of the two programs that serve, and waits until it does. The
// supervisor makes changes of its own and refuses those of others: a refused caller has
// changed nothing.
func (p *place) start(r *rand.Rand) *exec.Cmd {
	cmd := p.program("podstore-migrate", "serve", p.db, p.socket)
	if r.IntN(4) == 0 {
		cmd = p.program("supervisor", "-socket", p.socket, p.db)
	}
	log, err := os.OpenFile(filepath.Join(p.bin, "servers.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
		err = cmd.Start()
	}
	if err != nil {
		p.wrong("%v", err)
		return nil
	}
	p.count.starts.Add(1)
	c, err := socketstore.Dial(context.Background(), p.socket, &socketstore.Options{Patience: time.Minute})
	if err != nil {
		p.wrong("%v does not serve within a minute: %v", cmd.Args, err)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil
	}
	c.Close()
	return cmd
}

// trouble lets a server run for a while and ends it.
func (p *place) trouble(ctx context.Context, r *rand.Rand, server *exec.Cmd) {
	pause := func(d time.Duration) {
		select {
		case <-time.After(time.Duration(r.Int64N(int64(d)))):
		case <-ctx.Done():
		}
	}
	pause(5 * time.Second)
	p.watchMemory(server)
	how := r.IntN(10)
	switch how {
	case 0, 1: // its disk is full for a while: the file cannot grow, or no page can be written
		info, err := os.Stat(p.db)
		if err != nil {
			p.wrong("%v", err)
			break
		}
		p.count.fullDisks.Add(1)
		p.limit(server, uint64(info.Size()/4)+uint64(r.Int64N(info.Size())))
		pause(3 * time.Second)
		p.limit(server, unix.RLIM_INFINITY)
		pause(time.Second)
	case 2: // it hangs for a while
		p.count.stops.Add(1)
		_ = server.Process.Signal(syscall.SIGSTOP)
		pause(3 * time.Second)
		_ = server.Process.Signal(syscall.SIGCONT)
		pause(time.Second)
	}
	if how < 6 {
		p.count.kills.Add(1)
		p.end(server, syscall.SIGKILL)
	} else {
		p.count.terms.Add(1)
		p.end(server, syscall.SIGTERM)
	}
}

// limit sets the largest size of a file that the server may write.
func (p *place) limit(server *exec.Cmd, size uint64) {
	limit := unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(server.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		p.wrong("prlimit: %v", err)
	}
}

// end ends a server by a signal.
func (p *place) end(server *exec.Cmd, signal syscall.Signal) {
	_ = server.Process.Signal(signal)
	late := time.AfterFunc(time.Minute, func() {
		p.wrong("%v does not end within a minute of %v", server.Args, signal)
		_ = server.Process.Kill()
	})
	defer late.Stop()
	err := server.Wait()
	var exit *exec.ExitError
	status, ok := server.ProcessState.Sys().(syscall.WaitStatus)
	if errors.As(err, &exit) && ok && !status.Signaled() && status.ExitStatus() == 2 {
		p.wrong("%v ended with a panic, or was called wrongly: see servers.log", server.Args)
	}
}

// between does what an operator does with the file while nobody has it open.
func (p *place) between(r *rand.Rand) {
	switch r.IntN(4) {
	case 0:
		p.checkFile()
	case 1:
		p.compact(r)
	}
}

// compact compacts the file and replaces it by the copy, unless the command is killed.
func (p *place) compact(r *rand.Rand) {
	small := filepath.Join(filepath.Dir(p.db), "small.db")
	cmd := p.program("podstore-migrate", "compact", p.db, small)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		p.wrong("%v", err)
		return
	}
	p.count.compactions.Add(1)
	killed := r.IntN(2) == 0
	if killed {
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
		_ = cmd.Process.Kill()
	}
	err := cmd.Wait()
	if killed {
		p.count.killedCompactions.Add(1)
		// Either there is a whole copy, or there is none.
		left, _ := filepath.Glob(filepath.Join(filepath.Dir(p.db), ".small.db.new-*"))
		for _, path := range left {
			os.Remove(path)
		}
	} else if err != nil {
		p.wrong("compact: %v: %s", err, &out)
		return
	}
	if _, err := os.Stat(small); err != nil {
		return
	}
	if err := os.Rename(small, p.db); err != nil {
		p.wrong("%v", err)
	}
	p.checkFile()
}

// watchMemory keeps the most memory of its own that a server had.
func (p *place) watchMemory(server *exec.Cmd) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Process.Pid))
	if err != nil {
		return
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	kilobytes := 0
	fmt.Sscan(rest, &kilobytes)
	p.mostMemory = max(p.mostMemory, kilobytes)
}
