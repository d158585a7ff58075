package etcdstore_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// network lies between the members of a cluster. Each member reaches the others through
// a proxy, so that a test can hold back what one sends to another. A cut closes no
// connection. After it, what was held back arrives late, unless an end of the
// connection has given up. Clients do not go through the network.
type network struct {
	targets   []string // the address at which each member listens
	listeners []net.Listener
	wg        sync.WaitGroup

	mu      sync.Mutex
	pids    []int
	held    [][]bool      // [from][to]
	changed chan struct{} // closed when held changes, and made anew
	conns   map[net.Conn]bool
	closed  bool
	passed  [][]int64 // bytes, [from][to]
}

// newNetworkedCluster starts n members that find each other through a network.
func newNetworkedCluster(t *testing.T, n int) (*cluster, *network) {
	t.Helper()
	w := &network{changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		w.listeners = append(w.listeners, l)
		w.held, w.passed = append(w.held, make([]bool, n)), append(w.passed, make([]int64, n))
	}
	t.Cleanup(w.close)
	c := newCluster(t, n, func(mc *memberConfig) {
		mc.Advertised = "http://" + w.listeners[len(w.targets)].Addr().String()
		w.targets = append(w.targets, strings.TrimPrefix(mc.Peer, "http://"))
		if len(w.targets) == n {
			w.serve()
		}
	}, w.started)
	return c, w
}

// started is told of each member's process, in their order.
func (w *network) started(m *member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pids = append(w.pids, m.cmd.Process.Pid)
}

func (w *network) serve() {
	for to, l := range w.listeners {
		w.wg.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				w.wg.Go(func() { w.connect(conn, to) })
			}
		})
	}
}

// connect passes on what comes over a connection to a member, and over its other
// direction. A connection of nobody is closed.
func (w *network) connect(conn net.Conn, to int) {
	defer w.hangUp(conn)
	w.mu.Lock()
	pids := slices.Clone(w.pids)
	w.mu.Unlock()
	from := slices.Index(pids, processAt(conn.RemoteAddr().(*net.TCPAddr).Port, pids))
	if from < 0 {
		return
	}
	target, err := net.Dial("tcp", w.targets[to])
	if err != nil {
		return
	}
	defer w.hangUp(target)
	if !w.keep(conn, target) {
		return
	}
	gone := make(chan struct{})
	end := sync.OnceFunc(func() { close(gone); _ = conn.Close(); _ = target.Close() })
	w.wg.Go(func() { defer end(); w.copy(conn, target, to, from, gone) })
	defer end()
	w.copy(target, conn, from, to, gone)
}

// copy passes on what one member sends to another, or holds it back.
func (w *network) copy(dst io.Writer, src io.Reader, from, to int, gone chan struct{}) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if !w.pass(from, to, n, gone) {
			return
		}
		if _, failed := dst.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

// pass waits until bytes may pass. It returns false if they no longer need to.
func (w *network) pass(from, to, n int, gone chan struct{}) bool {
	for {
		w.mu.Lock()
		held, changed, closed := w.held[from][to], w.changed, w.closed
		if !held {
			w.passed[from][to] += int64(n)
		}
		w.mu.Unlock()
		if !held || closed {
			return !closed
		}
		select {
		case <-changed:
		case <-gone:
			return false
		}
	}
}

func (w *network) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = true
	}
	return !w.closed
}

func (w *network) hangUp(conn net.Conn) {
	_ = conn.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, conn)
}

// hold makes held be what f makes of it.
func (w *network) hold(f func(held [][]bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w.held)
	close(w.changed)
	w.changed = make(chan struct{})
}

// mute holds back all that a member sends to others, deafen all that others send
// to it, and heal nothing any more.
func (w *network) mute(member int) {
	w.hold(func(held [][]bool) {
		for to := range held[member] {
			held[member][to] = true
		}
	})
}

func (w *network) deafen(member int) {
	w.hold(func(held [][]bool) {
		for from := range held {
			held[from][member] = true
		}
	})
}

func (w *network) cutOff(member int) { w.mute(member); w.deafen(member) }

func (w *network) heal() {
	w.hold(func(held [][]bool) {
		for from := range held {
			clear(held[from])
		}
	})
}

// sent returns the number of bytes that passed from and to a member.
func (w *network) sent(member int) (from, to int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for other := range w.passed {
		from += w.passed[member][other]
		to += w.passed[other][member]
	}
	return from, to
}

func (w *network) close() {
	for _, l := range w.listeners {
		_ = l.Close()
	}
	w.hold(func([][]bool) {
		w.closed = true
		for c := range w.conns {
			_ = c.Close()
		}
	})
	w.wg.Wait()
}

// processAt returns the process that has a connection from a port of 127.0.0.1, or 0.
func processAt(port int, pids []int) int {
	table, err := os.Open("/proc/self/net/tcp")
	if err != nil {
		return 0
	}
	defer table.Close()
	socket := ""
	for lines := bufio.NewScanner(table); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) > 9 && f[1] == fmt.Sprintf("0100007F:%04X", port) {
			socket = "socket:[" + f[9] + "]"
		}
	}
	for _, pid := range pids {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && to == socket {
				return pid
			}
		}
	}
	return 0
}
