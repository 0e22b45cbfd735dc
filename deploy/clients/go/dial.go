package gleand

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// TLS tells whom to trust and who calls, as PEM files. Empty: the authorities of the system, and no certificate.
type TLS struct{ CAFile, CertFile, KeyFile string }

// Dial makes a connection, in plaintext where security is nil. It does not wait for the server.
func Dial(server string, security *TLS) (*grpc.ClientConn, error) {
	transport := grpc.WithInsecure()
	if security != nil {
		config, err := security.config()
		if err != nil {
			return nil, err
		}
		transport = grpc.WithTransportCredentials(credentials.NewTLS(config))
	}
	// Names are looked up again when a connection is lost, which Dial does only for this scheme.
	if !strings.Contains(server, "://") && !strings.HasPrefix(server, "unix:") {
		server = "dns:///" + server
	}
	reconnect := grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
		MinConnectTimeout: 5 * time.Second,
	}
	// Nothing else tells one who only reads that the other end is gone. The server takes a ping every 30 s.
	alive := keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}
	// Attempts are made here: the library knows nothing of ordinals. NewClient would be newer than Dial, and is not in the
	// grpc-go of Debian 12; Dial and WithInsecure are deprecated, and stay throughout grpc-go 1.
	return grpc.Dial(server, transport, grpc.WithConnectParams(reconnect), grpc.WithKeepaliveParams(alive),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig())
}

func (t TLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", t.CAFile)
		}
	}
	if t.CertFile != "" || t.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
