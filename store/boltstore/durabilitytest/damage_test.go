//go:build linux

package durabilitytest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Thousands of damaged files are opened, read, written and salvaged in processes
// of their own. None dies or hangs, no value is delivered that was not stored, no
// Pod is left out without a word, damage of one Pod leaves the others usable,
// writing does not spread it, and salvage delivers every Pod that is whole.
func TestDamagedFiles(t *testing.T) {
	every := pick(90, 1, 1)
	r := damagedFiles(t, self(t), func(b *base) (some []damaged) {
		for i, d := range append(b.damage(pick(1, 1, 8), nil), b.cutFiles()...) {
			if i%every == 0 {
				some = append(some, d)
			}
		}
		return some
	})
	t.Log(r)
	if r.files < 2000/every {
		t.Errorf("only %d files, expected %d", r.files, 2000/every)
	}
	r.report(t, 20)
}

// damageResult sums up what was found.
type damageResult struct {
	files, refused, withDamage, poisoned, deaths, hangs int
	bad                                                 []string
}

func (r *damageResult) String() string {
	return fmt.Sprintf("%d files: %d refused, %d opened with damaged Pods, %d made a handle unusable, %d deaths, %d hangs, %d bad",
		r.files, r.refused, r.withDamage, r.poisoned, r.deaths, r.hangs, len(r.bad))
}

func (r *damageResult) report(t *testing.T, most int) {
	t.Helper()
	for i, bad := range r.bad {
		if i < most {
			t.Error(bad)
		}
	}
	if len(r.bad) > 0 {
		t.Errorf("%d of %d files are handled badly", len(r.bad), r.files)
	}
}

// damaged is one file to be made.
type damaged struct {
	edit *edit // nil: cut
	cut  int
	seed uint64
}

// damage is every damage of some kinds, nil for all, times over.
func (b *base) damage(times int, kinds []string) []damaged {
	var list []damaged
	edits := b.edits()
	for e := range edits {
		if kinds != nil && !slices.Contains(kinds, edits[e].kind) {
			continue
		}
		for i := range edits[e].times * times {
			list = append(list, damaged{edit: &edits[e], seed: uint64(i)})
		}
	}
	return list
}

// cutFiles is the file cut off at and beside the end of each page.
func (b *base) cutFiles() []damaged {
	var list []damaged
	for end := 0; end <= len(b.file); end += pageSize {
		for n := end - 1; n <= end+1; n++ {
			if n >= 0 && n < len(b.file) {
				list = append(list, damaged{cut: n})
			}
		}
	}
	return list
}

// damagedFiles makes damaged files and has them examined.
func damagedFiles(t *testing.T, p program, choose func(*base) []damaged) *damageResult {
	t.Helper()
	dir := tempDir(t)
	b := makeBase(t, dir)
	job := examinerJob{Sound: saveModel(t, filepath.Join(dir, "sound.json"), b.pods), Older: saveModel(t, filepath.Join(dir, "older.json"), b.older)}
	result := &damageResult{}
	var mu sync.Mutex
	list := choose(b)
	work := make(chan int)
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			d := &doctor{t: t, p: p, job: job}
			defer d.stop()
			for i := range work {
				file, what := list[i].make(b)
				if file == nil {
					continue
				}
				touch := b.touched(file)
				path := numbered(dir, "damaged", i)
				if err := os.WriteFile(path, file, 0o600); err != nil {
					t.Error(err)
					continue
				}
				f, end := d.examine(patient{Path: path, Common: touch.common, Pods: sorted(touch.pods), Whole: touch.whole})
				os.Remove(path)
				mu.Lock()
				result.add(f, end, what)
				mu.Unlock()
			}
		})
	}
	for i := range list {
		work <- i
	}
	close(work)
	wg.Wait()
	return result
}

func (d damaged) make(b *base) (file []byte, what string) {
	file = slices.Clone(b.file)
	if d.edit == nil {
		return file[:d.cut], fmt.Sprintf("cut to %d bytes", d.cut)
	}
	r := rand.New(rand.NewPCG(d.seed, uint64(len(d.edit.kind))))
	file, what = d.edit.make(b, r, file)
	if file == nil || slices.Equal(file, b.file) {
		return nil, ""
	}
	return file, fmt.Sprintf("%s (%d): %s", d.edit.kind, d.seed, what)
}

// How an examination can end.
const (
	answered = ""
	died     = "the process died"
	hung     = "the process hung"
)

func (r *damageResult) add(f finding, end, what string) {
	r.files++
	switch end {
	case answered:
	case hung:
		r.hangs++
		f.Bad = append(f.Bad, end)
	default:
		r.deaths++
		f.Bad = append(f.Bad, end)
	}
	if f.Refused {
		r.refused++
	} else if f.Damaged > 0 {
		r.withDamage++
	}
	if f.Poison {
		r.poisoned++
	}
	if len(f.Bad) > 0 {
		r.bad = append(r.bad, what+"\n\t"+strings.Join(f.Bad[:min(len(f.Bad), 4)], "\n\t"))
	}
}

func sorted(set map[string]bool) []string {
	var names []string
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func saveModel(t testing.TB, path string, md model) string {
	t.Helper()
	b, err := json.Marshal(md)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// doctor has an examiner examine files, and another one when it dies.
type doctor struct {
	t   testing.TB
	p   program
	job examinerJob

	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan []byte
}

// patience is how long one examination may take, with everything in it.
const patience = 5 * time.Second

func (d *doctor) start() error {
	d.cmd = d.p.command(d.t, "examiner", d.job)
	in, err := d.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	d.in, d.answers = in, make(chan []byte)
	go func(answers chan []byte) {
		defer close(answers)
		for lines := bufio.NewReader(out); ; {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			answers <- line
		}
	}(d.answers)
	return d.cmd.Start()
}

func (d *doctor) examine(p patient) (f finding, end string) {
	if d.cmd == nil {
		if err := d.start(); err != nil {
			return f, err.Error()
		}
	}
	line, err := json.Marshal(p)
	if err == nil {
		_, err = d.in.Write(append(line, '\n'))
	}
	if err != nil {
		d.stop()
		return f, err.Error()
	}
	select {
	case answer, ok := <-d.answers:
		if !ok {
			said := fmt.Sprint(d.cmd.Stderr)
			d.stop()
			return f, died + ": " + said[:min(len(said), 3000)]
		}
		if err := json.Unmarshal(answer, &f); err != nil {
			return f, err.Error()
		}
		return f, answered
	case <-time.After(patience):
		d.cmd.Process.Kill()
		d.stop()
		return f, hung
	}
}

// stop ends the examiner.
func (d *doctor) stop() {
	if d.cmd == nil {
		return
	}
	d.in.Close()
	for range d.answers {
	}
	d.cmd.Wait()
	d.cmd = nil
}
