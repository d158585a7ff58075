package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"podstore/store"
	"podstore/store/etcdstore"
)

// answerTimeout bounds the time for the answer to the first request. etcdstore repeats later
// ones for longer.
const answerTimeout = 5 * time.Second

// open connects to the store at an address.
func open(ctx context.Context, address string, reading bool) (store.MetadataStore, io.Closer, error) {
	endpoints, prefix, err := parse(address)
	if err != nil {
		return nil, nil, failure(address, store.ErrInvalid, err)
	}
	config, err := configure(endpoints)
	if err != nil {
		return nil, nil, failure(address, store.ErrInvalid, err)
	}
	client, err := clientv3.New(config) // with a user, this logs in
	if err != nil {
		return nil, nil, unanswered(address, config, err)
	}
	s, err := etcdstore.New(client, prefix, nil)
	if err == nil {
		err = probe(ctx, client, config, s.Prefix(), address, reading)
	}
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return s, client, nil
}

// probe makes sure that a server answers and, if reading is set, that there is a store.
func probe(ctx context.Context, client *clientv3.Client, config clientv3.Config, prefix, address string, reading bool) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	found, err := client.Get(ctx, prefix+"format", clientv3.WithCountOnly())
	switch {
	case err != nil:
		return unanswered(address, config, err)
	case reading && found.Count == 0:
		return failure(address, store.ErrNotFound, fmt.Errorf("no store has been written below %s there", prefix))
	}
	return nil
}

func failure(address string, kind, err error) error {
	return &store.Error{Op: "open", Path: address, Kind: kind, Err: err}
}

// unanswered is the error for a first request that failed: a server refused it, or no server
// answered. Then the client does not say why, so it tries to connect to each.
func unanswered(address string, config clientv3.Config, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return failure(address, nil, err)
	}
	var why []string
	for _, host := range config.Endpoints {
		why = append(why, reach(host, config.TLS))
	}
	return failure(address, store.ErrUnavailable, errors.New(strings.Join(why, "; ")))
}

// reach says why a server does not answer: it tries to connect.
func reach(host string, config *tls.Config) string {
	dialer := &net.Dialer{Timeout: time.Second}
	conn, err := dialer.Dial("tcp", host)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if config == nil {
		return host + " gives no answer; if it expects TLS, set " + envCA
	}
	config = config.Clone()
	name, _, _ := cutLast(host, ":")
	config.ServerName = strings.Trim(name, "[]")
	config.NextProtos = []string{"h2"}
	secured := tls.Client(conn, config)
	if err := secured.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err.Error()
	}
	if err := secured.Handshake(); err != nil {
		return host + ": " + err.Error()
	}
	return host + " gives no answer"
}

// parse takes an address apart.
func parse(address string) (endpoints []string, prefix string, err error) {
	hosts, prefix, ok := strings.Cut(strings.TrimPrefix(address, "etcd://"), "/")
	if strings.Contains(hosts, "@") {
		return nil, "", errors.New("an address has no user and no password; set ETCDCTL_USER and ETCDCTL_PASSWORD")
	}
	prefix = "/" + strings.Trim(prefix, "/")
	if !ok || prefix == "/" {
		return nil, "", errors.New("the address lacks a prefix; expected etcd://HOST:PORT[,HOST:PORT...]/PREFIX")
	}
	endpoints = strings.Split(hosts, ",")
	for _, e := range endpoints {
		if host, port, ok := cutLast(e, ":"); !ok || host == "" || port == "" {
			return nil, "", fmt.Errorf("%q is not HOST:PORT", e)
		}
	}
	return endpoints, prefix, nil
}

// cutLast is strings.Cut at the last separator, since an IPv6 address has colons.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// configure is the client's configuration, with what the environment says.
func configure(endpoints []string) (clientv3.Config, error) {
	config := clientv3.Config{
		Endpoints:            endpoints,
		DialTimeout:          answerTimeout,
		DialKeepAliveTime:    10 * time.Second, // so that the client leaves a server that hangs
		DialKeepAliveTimeout: 3 * time.Second,
		Logger:               zap.NewNop(), // errors are returned too
	}
	var err error
	if config.TLS, err = secure(); err != nil {
		return config, err
	}
	config.Username, config.Password, err = user()
	return config, err
}
