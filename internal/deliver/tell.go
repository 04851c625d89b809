package deliver

import (
	"context"
	"time"

	"convoy/internal/meta"
	"convoy/internal/queue"
	"convoy/internal/store"
)

// tell adds the meta event of an outcome that ends a delivery, when its project
// asks for that; it costs nothing when not. Deliveries of meta events have a
// project that does not.
func tell(j *job, out *store.Outcome) {
	if j.project == nil || !j.project.Config.MetaEvent.Enabled {
		return
	}
	out.Meta = meta.Delivery(j.project, out.Delivery, j.Event, out.Attempt)
}

// told queues the meta events that have been stored with outcomes. Those that
// were left out, because somebody else had recorded the delivery, are unknown to
// whoever pulls them.
func (d *Deliverer) told(ctx context.Context, items []done) {
	var due []queue.Item
	for i := range items {
		if m := items[i].outcome.Meta; m != nil {
			due = append(due, queue.Item{ID: queueID(m.Delivery), Due: m.Delivery.DueAt})
		}
	}
	if len(due) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := d.cfg.Queue.Push(ctx, due); err != nil {
		d.cfg.Log.Warn("meta events not queued, left to the sweep", "meta_events", len(due), "err", err)
	}
}
