// Package text makes strings fit to be shown to people. [Safe] spells out what would steer a
// terminal, [Redact] leaves out credentials, [Tail] keeps the end of a log, [Clip] and [Cut]
// shorten.
package text
