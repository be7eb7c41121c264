package debian

import "context"

// Probe reads the signed index of the suite that a base would be made of, and
// returns the suite and where it comes from, without credentials. It writes
// nothing. The error says whether sources, mirror or keyring are at fault.
func (d *Debian) Probe(ctx context.Context) (suite, mirror string, err error) {
	suite, err = d.defaultSuite(ctx)
	if err != nil {
		return "", "", err
	}
	src, err := d.Sources.forSuite(suite)
	if err != nil {
		return "", "", err
	}
	if _, err := d.release(ctx, src[0]); err != nil {
		return "", "", err
	}
	return suite, src[0].URI, nil
}
