package jsonexport

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
)

// Benchmarks work on Pods with a manifest of about 4 KB, two children, one
// reclaimed child and three peers. PODSTORE_BENCH_PODS sets how many Pods a
// directory has; 1,000 where it is not set.

func benchPods() int {
	if n, err := strconv.Atoi(os.Getenv("PODSTORE_BENCH_PODS")); err == nil {
		return n
	}
	return 1000
}

// benchPod is a typical Pod. Each has other bytes.
func benchPod(i int) *store.Metadata {
	rules := []store.ScopeRule{
		{Target: "/srv/work/project", Permission: "write", Recursive: true},
		{Target: "/etc", Permission: "read"},
	}
	session, _ := store.ParseSessionID("0190f5c0-1111-7abc-8def-0123456789ab")
	segment, _ := store.ParseSegmentID("0190f5c0-2222-7abc-8def-0123456789ab")
	var manifest []byte
	manifest = fmt.Appendf(manifest, `{"pod":{"id":%d,"model":"large","temperature":0.7},"tools":[`, i)
	for k := range 40 {
		if k > 0 {
			manifest = append(manifest, ',')
		}
		manifest = fmt.Appendf(manifest, `{"name":"tool-%02d","description":"Does \"one\" thing well","limits":[%d,2.5,true,null]}`, k, i+k)
	}
	manifest = append(manifest, `]}`...)
	m := &store.Metadata{
		PodName: fmt.Sprintf("pod-%06d", i),
		Active:  store.ActiveIn(session, segment),
		Children: []store.SpawnedChild{
			{PodName: "child-a", SocketPath: "/run/podstore/child-a.sock", ScopeDelegated: rules, CallbackAddress: "/run/podstore/parent.sock"},
			{PodName: "child-b", SocketPath: "/run/podstore/child-b.sock", ScopeDelegated: rules, CallbackAddress: "/run/podstore/parent.sock"},
		},
		Reclaimed: []store.ReclaimedChild{{PodName: "child-old", ScopeDelegated: rules}},
		Peers:     []store.Peer{{PodName: "peer-a"}, {PodName: "peer-b"}, {PodName: "peer-c"}},
		Manifest:  manifest,
	}
	if err := m.Normalize(); err != nil {
		panic(err)
	}
	return m
}

// benchDir is a directory of n typical Pods, old enough to be trusted.
func benchDir(b *testing.B, n int) *Dir {
	b.Helper()
	d := openDir(b, filepath.Join(b.TempDir(), "pods"))
	pods := make([]*store.Metadata, n)
	for i := range pods {
		pods[i] = benchPod(i)
	}
	for _, err := range d.WriteBatch(b.Context(), pods) {
		if err != nil {
			b.Fatal(err)
		}
	}
	age(b, d.RootDir())
	return d
}

func BenchmarkDirRead(b *testing.B) {
	n := benchPods()
	d := benchDir(b, n)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := d.Read(b.Context(), fmt.Sprintf("pod-%06d", i%n)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkDirWrite(b *testing.B) {
	d := openDir(b, filepath.Join(b.TempDir(), "pods"))
	m := benchPod(1)
	b.ReportAllocs()
	for b.Loop() {
		if err := store.Write(b.Context(), d, m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDirList(b *testing.B) {
	d := benchDir(b, benchPods())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.List(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScan is what import does before it writes, for a whole directory;
// BenchmarkCat is cat of the same files.
func BenchmarkScan(b *testing.B) {
	n := benchPods()
	d := benchDir(b, n)
	b.ReportAllocs()
	for b.Loop() {
		s, err := newScan("import", d.RootDir(), 0)
		if err != nil {
			b.Fatal(err)
		}
		found := 0
		for p := range s.all(b.Context()) {
			if p.err != nil {
				b.Fatal(p.err)
			}
			found++
		}
		s.close()
		if found != n {
			b.Fatalf("%d Pods, want %d", found, n)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "pods/s")
}

// BenchmarkImport imports a directory into a new bbolt file.
func BenchmarkImport(b *testing.B) {
	n := benchPods()
	d := benchDir(b, n)
	parent := b.TempDir()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		s, err := boltstore.Open(filepath.Join(parent, strconv.Itoa(i)), nil)
		if err != nil {
			b.Fatal(err)
		}
		r, err := Import(b.Context(), s, d.RootDir(), ImportOptions{})
		if err != nil || r.Counts[Imported] != n {
			b.Fatal(r, err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "pods/s")
}

func BenchmarkCat(b *testing.B) {
	n := benchPods()
	d := benchDir(b, n)
	for b.Loop() {
		run(b, "sh", "-c", `find "$1" -name metadata.json -print0 | xargs -0 cat >/dev/null`, "sh", d.RootDir())
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "pods/s")
}

func BenchmarkVerify(b *testing.B) {
	n := benchPods()
	d := benchDir(b, n)
	b.ReportAllocs()
	for b.Loop() {
		r, err := Verify(b.Context(), d, d.RootDir(), VerifyOptions{})
		if err != nil || r.Counts[Same] != n {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "pods/s")
}

// BenchmarkExport exports to an empty directory, durably; BenchmarkCopyTree is
// cp -r of the same files and one sync of the file system. Each iteration
// starts with everything else on disk.
func BenchmarkExport(b *testing.B) {
	n := benchPods()
	src := make(held, n)
	for i := range src {
		src[i] = benchPod(i)
	}
	benchTargets(b, n, func(target string) {
		if _, err := Export(b.Context(), src, target, ExportOptions{}); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkCopyTree(b *testing.B) {
	n := benchPods()
	d := benchDir(b, n)
	benchTargets(b, n, func(target string) {
		run(b, "cp", "-r", d.RootDir(), target)
		run(b, "sync", "-f", target)
	})
}

// benchTargets fills a new target in each iteration. They are removed at the end:
// for minutes after a deletion ext4 is slow to create files. Between different
// benchmarks of this kind, wait.
func benchTargets(b *testing.B, n int, fill func(target string)) {
	b.Helper()
	b.ReportAllocs()
	parent := b.TempDir()
	i := 0
	for b.Loop() {
		b.StopTimer()
		run(b, "sync", "-f", parent)
		runtime.GC()
		i++
		b.StartTimer()
		fill(filepath.Join(parent, strconv.Itoa(i)))
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "pods/s")
}

func run(b *testing.B, name string, args ...string) {
	b.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", name, err, out)
	}
}
