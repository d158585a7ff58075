package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// The variables for connections are those of etcdctl.
const (
	envCA       = "ETCDCTL_CACERT"
	envCert     = "ETCDCTL_CERT"
	envKey      = "ETCDCTL_KEY"
	envPlain    = "ETCDCTL_INSECURE_TRANSPORT"
	envUser     = "ETCDCTL_USER"
	envPassword = "ETCDCTL_PASSWORD"
)

// secure returns the configuration for TLS, nil for none.
func secure() (*tls.Config, error) {
	ca, cert, key := os.Getenv(envCA), os.Getenv(envCert), os.Getenv(envKey)
	plain := true
	if text := os.Getenv(envPlain); text != "" {
		var err error
		if plain, err = strconv.ParseBool(text); err != nil {
			return nil, fmt.Errorf("%s is %q; expected true or false", envPlain, text)
		}
	}
	if ca == "" && cert == "" && key == "" && plain {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", envCA, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s has no certificate in PEM", envCA, ca)
		}
	}
	if (cert == "") != (key == "") {
		return nil, fmt.Errorf("%s and %s belong together, and one is missing", envCert, envKey)
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", envCert, envKey, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// user returns the user and password to connect with, or "".
func user() (name, password string, err error) {
	name, password = os.Getenv(envUser), os.Getenv(envPassword)
	if password == "" {
		name, password, _ = strings.Cut(name, ":")
	}
	switch {
	case name == "" && password != "":
		return "", "", errors.New(envPassword + " is set and " + envUser + " is not")
	case name != "" && password == "":
		return "", "", errors.New(envUser + " is set and " + envPassword + " is not")
	}
	return name, password, nil
}
