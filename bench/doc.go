// Command bench measures podstore beside what a user would pick instead, and
// writes docs/benchmarks.md.
//
//	go run . [-short] [-parts REGEXP] [-out FILE] [-raw FILE]
//
// It is a module of its own so that nobody who uses podstore downloads the
// peers. Every candidate does the same work on the same Pods; the candidates
// take turns, several rounds in one run, so that a machine that drifts drifts for
// all; after its turns each is opened again and compared with what it must hold.
// An earlier build of podstore takes its turns too in a program that was built with the
// tag old, as `make bench-old` does.
//
// With -short the counts are small and no figure means anything: it shows that
// everything still runs.
package main
