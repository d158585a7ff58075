package main

import (
	"context"
	"database/sql"
	"iter"
	"path/filepath"
	"sync"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"podstore/store"
)

func sqliteCandidate() *candidate {
	return &candidate{
		name: "sqlite", layout: "sqlite", inMemory: true,
		what:    "SQLite (mattn, cgo), WAL, synchronous=FULL, one writing connection, prepared statements, the manifest in a table of its own, one transaction an operation",
		promise: "durable (one sync a commit)",
		open:    func(dir string) (pods, error) { return openSQLite(dir, false) },
	}
}

func sqliteGroupedCandidate() *candidate {
	return &candidate{
		name: "sqlite-grouped", layout: "sqlite", inMemory: true,
		what:    "the same, given podstore's group commit by hand",
		promise: "durable; concurrent callers share a commit",
		open:    func(dir string) (pods, error) { return openSQLite(dir, true) },
	}
}

const sqliteSchema = `
CREATE TABLE IF NOT EXISTS pods (name TEXT PRIMARY KEY, active BLOB, children BLOB, reclaimed BLOB, peers BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS manifests (name TEXT PRIMARY KEY, manifest BLOB);`

// sqlitePods has one connection that writes, used by one goroutine at a time,
// and a pool of those that read.
type sqlitePods struct {
	writer, readers          *sql.DB
	conn                     *sql.Conn
	mu                       sync.Mutex // of conn, where there is no group
	group                    *grouper
	begin, commit, rollback  *sql.Stmt
	getPeers, setPeers       *sql.Stmt
	getPod, listPods, getAll *sql.Stmt
}

func openSQLite(dir string, grouped bool) (pods, error) {
	dsn := "file:" + filepath.Join(dir, "pods.sqlite") + "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=60000&_cache_size=-65536"
	p := &sqlitePods{}
	var err error
	if p.writer, err = sql.Open("sqlite3", dsn); err != nil {
		return nil, err
	}
	if p.readers, err = sql.Open("sqlite3", dsn); err != nil {
		return nil, err
	}
	p.readers.SetMaxIdleConns(16)
	ctx := context.Background()
	if p.conn, err = p.writer.Conn(ctx); err != nil {
		return nil, err
	}
	if _, err = p.conn.ExecContext(ctx, sqliteSchema); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		to  **sql.Stmt
		sql string
	}{
		{&p.begin, "BEGIN IMMEDIATE"}, {&p.commit, "COMMIT"}, {&p.rollback, "ROLLBACK"},
		{&p.getPeers, "SELECT peers FROM pods WHERE name = ?"},
		{&p.setPeers, "UPDATE pods SET peers = ? WHERE name = ?"},
	} {
		if *s.to, err = p.conn.PrepareContext(ctx, s.sql); err != nil {
			return nil, err
		}
	}
	const contents = "SELECT name, active, children, reclaimed, peers, manifest FROM pods LEFT JOIN manifests USING (name) "
	for _, s := range []struct {
		to  **sql.Stmt
		sql string
	}{
		{&p.getPod, contents + "WHERE name = ?"},
		{&p.listPods, "SELECT name FROM pods ORDER BY name"},
		{&p.getAll, contents + "ORDER BY name"},
	} {
		if *s.to, err = p.readers.PrepareContext(ctx, s.sql); err != nil {
			return nil, err
		}
	}
	if grouped {
		p.group = &grouper{run: p.transaction}
	}
	return p, nil
}

// transaction runs edits and commits.
func (p *sqlitePods) transaction(edits []func() error) error {
	if _, err := p.begin.Exec(); err != nil {
		return err
	}
	for _, edit := range edits {
		if err := edit(); err != nil {
			p.rollback.Exec()
			return err
		}
	}
	_, err := p.commit.Exec()
	return err
}

func (p *sqlitePods) load(all iter.Seq[*store.Metadata]) error {
	ctx := context.Background()
	tx, err := p.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for m := range all {
		if _, err := tx.Exec("INSERT INTO pods VALUES (?, ?, ?, ?, ?)", m.PodName, appendActive(nil, m.Active),
			appendChildren(nil, m.Children), appendReclaimed(nil, m.Reclaimed), appendPeers(nil, m.Peers)); err != nil {
			return err
		}
		if _, err := tx.Exec("INSERT INTO manifests VALUES (?, ?)", m.PodName, []byte(m.Manifest)); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = p.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

func (p *sqlitePods) setPeer(pod, peer string, there bool) error {
	edit := func() error {
		var value []byte
		if err := p.getPeers.QueryRow(pod).Scan(&value); err != nil {
			return err
		}
		value, err := setPeerValue(pod, value, peer, there)
		if err == nil {
			_, err = p.setPeers.Exec(value, pod)
		}
		return err
	}
	if p.group != nil {
		return p.group.do(edit)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.transaction([]func() error{edit})
}

// setPeerValue is setPeer on a list of peers as the peers store it.
func setPeerValue(pod string, value []byte, peer string, there bool) ([]byte, error) {
	r := &reader{b: value}
	m := &store.Metadata{PodName: pod, Peers: r.peers()}
	if err := r.end(); err != nil {
		return nil, err
	}
	if err := setPeer(m, peer, there); err != nil {
		return nil, err
	}
	return appendPeers(nil, m.Peers), nil
}

// scanPod reads a row of all columns.
func scanPod(scan func(...any) error) (*store.Metadata, error) {
	m := new(store.Metadata)
	var active, children, reclaimed, peers sql.RawBytes
	var manifest []byte
	if err := scan(&m.PodName, &active, &children, &reclaimed, &peers, &manifest); err != nil {
		return nil, err
	}
	m.Manifest = manifest
	r := &reader{b: active}
	m.Active = r.active()
	r.b = children
	m.Children = r.children()
	r.b = reclaimed
	m.Reclaimed = r.reclaimed()
	r.b = peers
	m.Peers = r.peers()
	return m, r.end()
}

func (p *sqlitePods) read(pod string) (any, error) {
	rows, err := p.getPod.Query(pod)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, sql.ErrNoRows
	}
	return scanPod(rows.Scan)
}

func (p *sqlitePods) list() ([]string, error) {
	rows, err := p.listPods.Query()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

func (p *sqlitePods) all(visit func(any) error) error {
	rows, err := p.getAll.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		m, err := scanPod(rows.Scan)
		if err == nil {
			err = visit(m)
		}
		if err != nil {
			return err
		}
	}
	return rows.Err()
}

func (p *sqlitePods) close() error {
	p.conn.Close()
	if err := p.readers.Close(); err != nil {
		return err
	}
	return p.writer.Close()
}
