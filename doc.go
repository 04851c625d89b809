// Package convoy is the vocabulary of the webhooks gateway: the things it
// keeps, the rules that need nothing but those things, and the kinds of errors
// it reports.
//
// A producer publishes an [Event] to a [Project]. Each [Subscription] that
// matches turns it into a [Delivery] to an [Endpoint]; each HTTP try of a
// delivery is an [Attempt].
//
// The package imports only the standard library. Everything that talks to a
// disk, a network or a clock lives under internal/.
package convoy
