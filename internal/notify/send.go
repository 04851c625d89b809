package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"convoy"
)

// sendTimeout bounds one message.
const sendTimeout = 15 * time.Second

// errRefused is the end of a notice that no other try would help.
var errRefused = errors.New("refused")

// Mail is where e-mails are handed over.
type Mail struct {
	Host               string
	Port               int
	Username, Password string
	From, ReplyTo      string
	// TLS speaks TLS from the start (RFC 8314); else STARTTLS (RFC 3207) is used
	// where it is offered, and a password is sent only under TLS or to this machine.
	TLS bool
}

// Sender sends notices.
type Sender struct {
	// Client posts to chat channels. It follows no redirects and dials no private
	// address.
	Client *http.Client
	// Mail is nil when e-mails are not sent.
	Mail *Mail
}

// NewClient makes a client that sends through a transport.
func NewClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: transport, Timeout: sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *Sender) send(ctx context.Context, n *convoy.Notice) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	switch n.Channel {
	case convoy.ChannelSlack:
		return s.post(ctx, n.Target, slack(n))
	case convoy.ChannelTeams:
		return s.post(ctx, n.Target, teams(n))
	case convoy.ChannelEmail:
		return s.mail(ctx, n)
	}
	return fmt.Errorf("%w: unknown channel %q", errRefused, n.Channel)
}

// slack is the body of an incoming webhook
// (https://api.slack.com/messaging/webhooks) in mrkdwn, which has three
// characters to escape (https://api.slack.com/reference/surfaces/formatting).
func slack(n *convoy.Notice) any {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	return map[string]string{"text": "*" + escape.Replace(n.Title) + "*\n" + escape.Replace(n.Text)}
}

// teams is an Adaptive Card in a message, as Teams' incoming webhooks and
// workflows take it
// (https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using).
func teams(n *convoy.Notice) any {
	type block struct {
		Type   string `json:"type"`
		Text   string `json:"text"`
		Weight string `json:"weight,omitempty"`
		Wrap   bool   `json:"wrap"`
	}
	body := []block{{Type: "TextBlock", Text: n.Title, Weight: "Bolder", Wrap: true}}
	for line := range strings.SplitSeq(n.Text, "\n") { // a block has no line breaks of its own
		body = append(body, block{Type: "TextBlock", Text: line, Wrap: true})
	}
	return map[string]any{
		"type": "message",
		"attachments": []any{map[string]any{
			"contentType": "application/vnd.microsoft.card.adaptive",
			"content": map[string]any{
				"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": body,
			},
		}},
	}
}

// post sends JSON. Errors do not have the address, which is a secret.
func (s *Sender) post(ctx context.Context, to string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%w: the address is no URL", errRefused)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.Client.Do(req)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil { // a url.Error has the address
			err = inner
		}
		return err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10) // so that the connection can be used again
	switch {
	case res.StatusCode < 300:
		return nil
	case res.StatusCode >= 500, res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("answered %d", res.StatusCode)
	}
	return fmt.Errorf("%w: answered %d", errRefused, res.StatusCode)
}

func (s *Sender) mail(ctx context.Context, n *convoy.Notice) error {
	if s.Mail == nil {
		return fmt.Errorf("%w: smtp.url is not set", errRefused)
	}
	return s.Mail.send(ctx, letter{id: string(n.ID), to: n.Target, title: n.Title, text: n.Text})
}

// letter is one e-mail. Its id is the same at each try.
type letter struct{ id, to, title, text string }

func (c *Mail) send(ctx context.Context, l letter) error {
	m := mail.NewMsg()
	err := errors.Join(m.From(c.From), m.To(l.to))
	if c.ReplyTo != "" {
		err = errors.Join(err, m.ReplyTo(c.ReplyTo))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	m.Subject(l.title)
	m.SetDate()
	m.SetMessageIDWithValue(l.id + "@convoy")
	m.SetBodyString(mail.TypeTextPlain, l.text+"\n")
	options := []mail.Option{mail.WithPort(c.Port), mail.WithTimeout(sendTimeout), mail.WithTLSPolicy(mail.TLSOpportunistic)}
	if c.TLS {
		options = append(options, mail.WithSSL())
	}
	if c.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(c.Username), mail.WithPassword(c.Password))
	}
	client, err := mail.NewClient(c.Host, options...)
	if err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	if err := client.DialAndSendWithContext(ctx, m); err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	return nil
}
