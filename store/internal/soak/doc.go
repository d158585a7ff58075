// Package soak runs the programs and backends of this module together for a long time,
// under a random load and with everything that can go wrong: see TestSoak.
package soak
