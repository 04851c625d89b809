package limit

import (
	"context"
	_ "embed" // the script
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

//go:embed limit_reserve.lua
var reserveSource string

// Not retryable: a request that is sent twice would be charged twice.
var reserveScript = rueidis.NewLuaScript(reserveSource)

// Redis is the limiter of many processes, by the clock of Redis; only durations
// travel. A limit is a key, and the keys of a group share a hash slot. Requests
// that come while another batch is on its way travel together.
type Redis struct {
	client rueidis.Client
	prefix string
	*gathering
}

// NewRedis makes a limiter, which answers while its Run does. Prefix starts its
// keys and must not contain braces.
func NewRedis(client rueidis.Client, prefix string) *Redis {
	r := &Redis{client: client, prefix: prefix + "limit:"}
	r.gathering = gather(r.reserve)
	return r
}

// reserve runs the script for each group, all at once.
func (r *Redis) reserve(ctx context.Context, requests []*Request) ([]Grant, error) {
	var (
		groups  = make(map[string]int)
		members [][]int // the requests of each group
	)
	for i, q := range requests {
		g, ok := groups[q.Group]
		if !ok {
			g = len(members)
			groups[q.Group] = g
			members = append(members, nil)
		}
		members[g] = append(members[g], i)
	}
	grants := make([]Grant, len(requests))
	errs := make([]error, len(members))
	var calls sync.WaitGroup
	for g, is := range members {
		calls.Go(func() { errs[g] = r.group(ctx, requests, is, grants) })
	}
	calls.Wait()
	return grants, errors.Join(errs...)
}

// group reserves for some requests of one group.
func (r *Redis) group(ctx context.Context, requests []*Request, is []int, grants []Grant) error {
	keys, args := r.call(requests, is)
	reply, err := reserveScript.Exec(ctx, r.client, keys, args).AsIntSlice()
	if err != nil {
		return fmt.Errorf("reserve slots: %w", err)
	}
	if len(reply) != 3*len(is) {
		return fmt.Errorf("reserve slots: reply of %d elements for %d requests", len(reply), len(is))
	}
	for k, i := range is {
		grants[i] = Grant{
			OK:   reply[3*k] == 1,
			Wait: time.Duration(reply[3*k+1]) * time.Microsecond,
			By:   int(reply[3*k+2]),
		}
	}
	return nil
}

// call makes the script's keys and arguments.
func (r *Redis) call(requests []*Request, is []int) (keys, args []string) {
	var (
		rules []string
		rest  []string
		// places are where limits are among the keys.
		places = make(map[string]string)
	)
	for _, i := range is {
		q := requests[i]
		rest = append(rest, strconv.Itoa(q.N), strconv.FormatInt(q.Horizon.Microseconds(), 10), strconv.Itoa(len(q.Limits)))
		for _, l := range q.Limits {
			name := l.name()
			place, ok := places[name]
			if !ok {
				rule := l.rule()
				keys = append(keys, r.prefix+"{"+q.Group+"}:"+name)
				rules = append(rules, strconv.FormatInt(rule.spacing, 10), strconv.FormatInt(rule.tolerance, 10))
				place = strconv.Itoa(len(keys))
				places[name] = place
			}
			rest = append(rest, place)
		}
	}
	args = append([]string{strconv.Itoa(maxMarks)}, rules...)
	return keys, append(args, rest...)
}
