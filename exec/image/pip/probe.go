package pip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/flytestar/flytestar/internal/text"
)

// Probe asks the Python index that pip is configured to use whether it is there. It says what it
// found in a line without credentials. The configuration is that of pip's files and of environ;
// nil means this process's environment. If it names no index, Probe asks nobody.
func Probe(ctx context.Context, environ []string) (string, error) {
	if environ == nil {
		environ = os.Environ()
	}
	c, err := readConfig(environ)
	if err != nil {
		return "", err
	}
	switch {
	case len(c["no-index"]) > 0:
		return "no index: pip is configured to look in " + strings.Join(withoutUsers(c["find-links"]), ", "), nil
	case len(c["index-url"]) == 0:
		return "pip's configuration names none, so pip uses its default; not asked", nil
	}
	index := c["index-url"][0]
	if err := c.ask(ctx, index); err != nil {
		return "", fmt.Errorf("%s: %w", text.WithoutUser(index), err)
	}
	return text.WithoutUser(index) + " answers", nil
}

func withoutUsers(urls []string) []string {
	out := make([]string, len(urls))
	for i, u := range urls {
		out[i] = text.WithoutUser(u)
	}
	return out
}

// ask requests the root of an index, with the proxy and certificate authorities that pip is
// configured to use.
func (c settings) ask(ctx context.Context, index string) error {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	if v := c["proxy"]; len(v) == 1 {
		proxy, err := url.Parse(v[0])
		if err != nil {
			return fmt.Errorf("pip's proxy isn't a URL")
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	if v := c["cert"]; len(v) == 1 {
		pem, err := os.ReadFile(v[0])
		if err != nil {
			return fmt.Errorf("pip's CA bundle: %w", err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, strings.TrimSuffix(index, "/")+"/", nil)
	if err != nil {
		return fmt.Errorf("isn't a URL")
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		var failed *url.Error // its text has the URL with the credentials
		if errors.As(err, &failed) {
			return failed.Err
		}
		return err
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden || resp.StatusCode >= 500 {
		return fmt.Errorf("the server answers %s", resp.Status)
	}
	return nil
}
