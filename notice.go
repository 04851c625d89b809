package convoy

import "time"

// NoticeID identifies a [Notice].
type NoticeID string

// Channel is a way to tell people something.
type Channel string

// Channels. The values are stored.
const (
	ChannelSlack Channel = "slack"
	ChannelTeams Channel = "teams"
	ChannelEmail Channel = "email"
)

// Notice is a message to the people behind an endpoint, on its way.
type Notice struct {
	ID        NoticeID
	ProjectID ProjectID
	Channel   Channel
	// Target is a URL that takes messages, which is a secret, or an e-mail address.
	Target      string
	Title, Text string
	// Tries is how often it has been sent in vain; it is due again at DueAt.
	Tries     int
	DueAt     time.Time
	CreatedAt time.Time
}
