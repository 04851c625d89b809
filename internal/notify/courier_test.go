package notify

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// running runs a courier until the test ends.
func running(t *testing.T, c *Courier) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// letters waits until a mailbox has so many letters.
func (b *mailbox) letters(t *testing.T, n int) (mail, to []string) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		b.mu.Lock()
		mail, to = append([]string(nil), b.mail...), append([]string(nil), b.to...)
		b.mu.Unlock()
		if len(mail) >= n {
			return mail, to
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d letters came, want %d", len(mail), n)
		}
	}
}

// TestCourier sends letters to an SMTP server, in order, also when it turns one
// away for now.
func TestCourier(t *testing.T) {
	t.Parallel()
	box := &mailbox{refuse: 1}
	c := NewCourier(box.serve(t), slog.New(slog.DiscardHandler))
	running(t, c)
	for _, to := range []string{"ada@example.com", "ben@example.com"} {
		if !c.Post(to, "Reset your password", "Open this link:\n\nhttps://example.com/reset?token=abc") {
			t.Fatal("the letter is not taken")
		}
	}
	mail, to := box.letters(t, 2)
	if to[0] != "ada@example.com" || to[1] != "ben@example.com" {
		t.Errorf("letters went to %q", to)
	}
	if !strings.Contains(mail[0], "Subject: Reset your password") || !strings.Contains(mail[0], "To: <ada@example.com>") {
		t.Errorf("letter %s", mail[0])
	}
}

// TestCourierGivesUp tries a letter that cannot be sent a few times, then goes on
// with the next, and takes no more than it can keep.
func TestCourierGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewCourier(&Mail{Host: "127.0.0.1", Port: 1, From: "not an address"}, slog.New(slog.DiscardHandler))
		for range maxLetters {
			if !c.Post("ada@example.com", "t", "x") {
				t.Fatal("a letter is not taken")
			}
		}
		if c.Post("ada@example.com", "t", "x") {
			t.Error("more letters are taken than are kept")
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := c.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if len(c.letters) != 0 { // the sender's address is refused, which no try mends
			t.Errorf("%d letters are left", len(c.letters))
		}
		cancel()
		wg.Wait()
	})
}
