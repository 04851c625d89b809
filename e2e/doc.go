// Package e2e drives the built gateway from outside, as a user and an operator
// do: it starts processes and real servers, publishes over HTTP, receives at
// endpoints of its own, kills what it likes and counts what was lost and what
// came twice. It knows the command line, the environment, the API and the
// documented signature format, and imports nothing of the gateway.
//
// It is not for behaviour that one package shows alone.
package e2e
