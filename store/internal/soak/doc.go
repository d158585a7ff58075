// Package soak runs the programs and the backends of this module together, for long,
// under a random load and beside everything that goes wrong: see TestSoak.
package soak
