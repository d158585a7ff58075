package socketstore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestMain(m *testing.M) {
	if sock := os.Getenv("CPU_CLIENT"); sock != "" {
		c, err := Dial(context.Background(), sock, nil)
		if err != nil {
			panic(err)
		}
		n, _ := strconv.Atoi(os.Getenv("CPU_N"))
		g, _ := strconv.Atoi(os.Getenv("CPU_G"))
		before := cpu()
		var wg sync.WaitGroup
		for i := range g {
			wg.Go(func() {
				pod := fmt.Sprint("pod", i)
				for j := range n / g {
					op := store.Op(store.AddPeer{PodName: "x"})
					if j%2 == 1 {
						op = store.RemovePeer{PodName: "x"}
					}
					if err := store.Do(context.Background(), c, pod, op); err != nil {
						panic(err)
					}
				}
			})
		}
		wg.Wait()
		fmt.Println(int64(cpu() - before))
		return
	}
	os.Exit(m.Run())
}

func BenchmarkCPU(b *testing.B) {
	for _, g := range []int{1, 8} {
		b.Run(fmt.Sprint(g), func(b *testing.B) {
			_, c := smoke(b, memstore.New())
			exe, _ := os.Executable()
			const procs = 4
			before := cpu()
			var wg sync.WaitGroup
			var mu sync.Mutex
			total := int64(0)
			n := max(b.N/procs, g)
			for range procs {
				wg.Go(func() {
					cmd := exec.Command(exe)
					cmd.Env = append(os.Environ(), "CPU_CLIENT="+c.Path(), "CPU_N="+strconv.Itoa(n), "CPU_G="+strconv.Itoa(g))
					cmd.Stderr = os.Stderr
					out, err := cmd.Output()
					if err != nil {
						b.Error(err)
					}
					v, _ := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
					mu.Lock()
					total += v
					mu.Unlock()
				})
			}
			wg.Wait()
			ops := float64(n * procs)
			b.ReportMetric(float64(cpu()-before)/1000/ops, "µs-server")
			b.ReportMetric(float64(total)/1000/ops, "µs-client")
		})
	}
}
