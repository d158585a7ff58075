package etcdstore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/etcdstore"
)

// certificates writes a certificate authority and one certificate that serves
// both sides, and returns the paths and what a client needs.
func certificates(t *testing.T) (ca, cert, key string, config *tls.Config) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	make := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			parent, signer = template, private
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, private
	}
	now := time.Now()
	authority, authorityKey := make(&x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	both, bothKey := make(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{Organization: []string{"podstore test"}}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, authority, authorityKey)
	der, err := x509.MarshalPKCS8PrivateKey(bothKey)
	if err != nil {
		t.Fatal(err)
	}
	ca, cert, key = write("ca", "CERTIFICATE", authority.Raw), write("cert", "CERTIFICATE", both.Raw), write("key", "PRIVATE KEY", der)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	return ca, cert, key, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
}

// TLS on both sides and users are the client's configuration; a user needs no more
// than to read and write the prefix.
func TestTLSAndUsers(t *testing.T) {
	ca, cert, key, config := certificates(t)
	server := newCluster(t, 1, func(mc *memberConfig) {
		mc.Client = strings.Replace(mc.Client, "http:", "https:", 1)
		mc.CA, mc.Cert, mc.Key = ca, cert, key
	})
	secure := func(c *clientv3.Config) { c.TLS = config }
	admin := newClient(t, secure, server.endpoints...)
	for _, setup := range []func() error{
		func() error { _, err := admin.RoleAdd(background, "pods"); return err },
		func() error {
			_, err := admin.RoleGrantPermission(background, "pods", "/pods/", clientv3.GetPrefixRangeEnd("/pods/"), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := admin.RoleAdd(background, "root"); return err },
		func() error { _, err := admin.UserAdd(background, "root", "r"); return err },
		func() error { _, err := admin.UserGrantRole(background, "root", "root"); return err },
		func() error { _, err := admin.UserAdd(background, "supervisor", "s"); return err },
		func() error { _, err := admin.UserGrantRole(background, "supervisor", "pods"); return err },
		func() error { _, err := admin.AuthEnable(background); return err },
	} {
		if err := setup(); err != nil {
			t.Fatal(err)
		}
	}
	w := &wire{}
	client := newClient(t, func(c *clientv3.Config) {
		secure(c)
		c.Username, c.Password = "supervisor", "s"
		w.tune(c)
	}, server.endpoints...)
	s, err := etcdstore.New(client, "/pods", nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, bulky("a"), bulky("b"))
	if err := store.LinkPeers(background, s, "a", "b"); err != nil {
		t.Error(err)
	}
	w.set(first(fate{lostRequest: true})) // what finds out about it needs no other rights
	if _, err := s.Update(background, "new", increment); err != nil {
		t.Error(err)
	}
	if err := store.Do(background, s, "a", store.Delete{}); err != nil {
		t.Error(err)
	}
	if names, err := s.List(background); err != nil || len(names) != 2 {
		t.Errorf("%q, %v", names, err)
	}
	check(t, s)

	elsewhere, err := etcdstore.New(client, "/other", nil)
	if err != nil {
		t.Fatal(err)
	}
	for method, err := range map[string]error{
		"Write": store.Write(background, elsewhere, bulky("a")), "Delete": store.Do(background, elsewhere, "a", store.Delete{}),
		"Read": func() error { _, err := elsewhere.Read(background, "a"); return err }(),
	} {
		if !errors.Is(err, rpctypes.ErrPermissionDenied) {
			t.Errorf("%s without the right to: %v", method, err)
		}
	}
	plain, err := etcdstore.New(newClient(t, nil, strings.Replace(server.endpoints[0], "https:", "http:", 1)), "/pods", &etcdstore.Options{RetryFor: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain.Read(background, "b"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without TLS: %v", err)
	}
}
