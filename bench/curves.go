package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// curve is a drawing beside the report.
type curve struct {
	file, title, x, y string
	linearX           bool // otherwise logarithmic, as y always is
	lines             func(b *bench) []line
}

type line struct {
	name   string
	points plotter.XYs
}

// curves are all that a report shows.
var curves = []curve{
	{"benchmarks-rate.svg", "Add-peer: rate by writers", "writers at the same time", "changes a second", false, func(b *bench) []line {
		return b.byWriters(rate, 1)
	}},
	{"benchmarks-latency.svg", "Add-peer: latency by writers, p99", "writers at the same time", "milliseconds", false, func(b *bench) []line {
		return b.byWriters(p99, 1000)
	}},
	{"benchmarks-pods.svg", "Add-peer: growth by Pods", "Pods in the store", "changes a second", false, (*bench).byPods},
	{"benchmarks-history.svg", "Growth by the history of a Pod, p50", "reclaimed children of the Pod", "microseconds", true, (*bench).byHistory},
}

// drawCurves writes every curve into dir. One of which nothing was measured is left out.
func (b *bench) drawCurves(dir string) error {
	for _, c := range curves {
		if !c.measured(b) {
			continue
		}
		if err := c.draw(filepath.Join(dir, c.file), c.lines(b)); err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
	}
	return nil
}

// measured reports whether there is anything to draw.
func (c curve) measured(b *bench) bool {
	return slices.ContainsFunc(c.lines(b), func(l line) bool { return len(l.points) > 0 })
}

// byWriters is a figure of all that are durable, with the fewest Pods.
func (b *bench) byWriters(figure func(result) float64, unit float64) (out []line) {
	n := b.sizes[0]
	for _, c := range b.wanted() {
		if c.name == "json-now" {
			continue
		}
		l := line{name: c.name}
		for _, writers := range b.writers {
			l.add(float64(writers), b.results.median(addPeer, c.name, n, writers, figure)/unit)
		}
		out = append(out, l)
	}
	return out
}

// byPods is what the number of Pods costs podstore, and the fastest peers.
func (b *bench) byPods() (out []line) {
	for _, writers := range []int{1, 64} {
		for _, name := range []string{ours, oldName, "sqlite-grouped", "pebble"} {
			l := line{name: fmt.Sprintf("%s, %s", name, plural(writers, "writer"))}
			for _, n := range b.sizes {
				l.add(float64(n), b.results.median(addPeer, name, n, writers, rate))
			}
			out = append(out, l)
		}
	}
	return out
}

func (b *bench) byHistory() (out []line) {
	for _, name := range []string{ours, throughSocket} {
		for _, work := range historyWork {
			l := line{name: name + ": " + work.name}
			for _, entries := range b.histories {
				l.add(float64(entries), b.results.median(historyOf(work.name, entries), name, b.sizes[0], 0, p50))
			}
			out = append(out, l)
		}
	}
	return out
}

// add takes a point that was measured.
func (l *line) add(x, y float64) {
	if y > 0 && !math.IsInf(y, 0) {
		l.points = append(l.points, plotter.XY{X: x, Y: y})
	}
}

func (c curve) draw(file string, lines []line) error {
	const width, height, legend = 8 * vg.Inch, 4.5 * vg.Inch, 2.2 * vg.Inch
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.title, c.x, c.y
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(logTicks)
	p.X.Tick.Marker = plot.TickerFunc(func(least, most float64) []plot.Tick { return ticksAt(lines) })
	if !c.linearX {
		p.X.Scale = plot.LogScale{}
	}
	p.Add(plotter.NewGrid())
	names := plot.NewLegend()
	// Samples left of their names: a viewer's font may be wider than was reckoned with.
	names.Top, names.Left, names.TextStyle.Font.Size, names.Padding = true, true, vg.Points(10), vg.Points(3)
	for i, l := range lines {
		if len(l.points) == 0 {
			continue
		}
		curve, points, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return err
		}
		color := plotutil.DarkColors[i%len(plotutil.DarkColors)]
		curve.Color, points.Color, points.Shape = color, color, plotutil.Shape(i)
		if i >= len(plotutil.DarkColors) {
			curve.Dashes = []vg.Length{vg.Points(5), vg.Points(2)}
		}
		if l.name == ours {
			curve.Width = vg.Points(2.5)
		}
		p.Add(curve, points)
		names.Add(l.name, curve, points)
	}
	// Whole steps, so that few points do not fill the height.
	p.Y.Min, p.Y.Max = math.Pow(10, math.Floor(math.Log10(p.Y.Min))), math.Pow(10, math.Ceil(math.Log10(p.Y.Max)))
	out := vgsvg.New(width, height)
	all := draw.New(out)
	p.Draw(draw.Crop(all, 0, -legend, 0, 0))
	names.Draw(draw.Crop(all, width-legend+vg.Points(8), -vg.Points(5), 0, -vg.Points(25)))
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = out.WriteTo(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// ticksAt has a tick at each measured place of the x axis.
func ticksAt(lines []line) (ticks []plot.Tick) {
	seen := map[float64]bool{}
	for _, l := range lines {
		for _, at := range l.points {
			if !seen[at.X] {
				seen[at.X] = true
				ticks = append(ticks, plot.Tick{Value: at.X, Label: grouped(int64(at.X))})
			}
		}
	}
	return ticks
}

// logTicks has a tick with a label at every power of ten, and at 2 and 5 times it.
func logTicks(least, most float64) (ticks []plot.Tick) {
	for power := math.Floor(math.Log10(least)); ; power++ {
		for _, times := range []float64{1, 2, 5} {
			switch at := times * math.Pow(10, power); {
			case at > most*1.001:
				return ticks
			case at >= 1:
				ticks = append(ticks, plot.Tick{Value: at, Label: grouped(int64(math.Round(at)))})
			default:
				ticks = append(ticks, plot.Tick{Value: at, Label: fmt.Sprintf("%.3g", at)})
			}
		}
	}
}
