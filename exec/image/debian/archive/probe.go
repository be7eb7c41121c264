package archive

import "context"

// Probe reads the signed index of the suite that a base would be made of. It returns the suite and
// its mirror, without credentials, and writes nothing. The error says whether the sources, the
// mirror or the keyring is at fault.
func (m *Mirror) Probe(ctx context.Context) (suite, mirror string, err error) {
	suite, err = m.defaultSuite(ctx)
	if err != nil {
		return "", "", err
	}
	src, err := m.Sources.forSuite(suite)
	if err != nil {
		return "", "", err
	}
	if _, err := m.release(ctx, src[0]); err != nil {
		return "", "", err
	}
	return suite, src[0].URI, nil
}
