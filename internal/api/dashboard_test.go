package api

import (
	"encoding/json"
	"testing"
	"time"

	"convoy"
	"convoy/internal/store/sqldb"
)

// TestDashboard counts what was published, and finds it.
func TestDashboard(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, db sqldb.DB) {
		f := setup(t, db)
		u := f.newUser("ada@example.com")
		f.join(u, convoy.RoleProjectViewer)
		token, all := f.signIn(u).Token.Access, "/ui/organisations/"+string(f.org.ID)+"/projects/"+string(f.project.ID)
		var has statsView
		f.want(call{path: all + "/stats", key: token}, 200, "Project Stats fetched successfully").data(t, &has)
		if has != (statsView{}) {
			t.Errorf("%+v", has)
		}
		endpoint := f.endpoint("a")
		var event struct {
			UID string `json:"uid"`
		}
		publish := call{method: "POST", path: "events", body: `{"endpoint_id":"` + string(endpoint) + `","event_type":"a","data":1,"idempotency_key":"order-7"}`}
		f.want(publish, 201, publishedMessage).data(t, &event)
		f.want(call{path: all + "/stats", key: token}, 200, "Project Stats fetched successfully").data(t, &has)
		if want := (statsView{Events: true, Endpoints: true}); has != want {
			t.Errorf("%+v, want %+v", has, want)
		}
		day := f.now.UTC().Truncate(24 * time.Hour)
		for period, date := range map[string]time.Time{
			"": day, "daily": day, "monthly": day.AddDate(0, 0, 1-day.Day()), "yearly": day.AddDate(0, 0, 1-day.YearDay()),
			"weekly": day.AddDate(0, 0, -(int(day.Weekday())+6)%7),
		} {
			var v summaryView
			f.want(call{path: all + "/dashboard/summary?startDate=" + day.Format(dateLayout) + "&type=" + period, key: token}, 200, "Dashboard summary fetched successfully").data(t, &v)
			if v.Events != 1 || v.Endpoints != 1 || len(v.Data) != 1 || v.Data[0].Count != 1 || v.Data[0].Data.Date != date.Format(time.DateOnly) {
				t.Errorf("%q: %+v", period, v)
			}
		}
		f.want(call{path: all + "/dashboard/summary", key: token}, 400, errStartDate.Error())
		f.want(call{path: all + "/dashboard/summary?startDate=2026-01-01T00:00:00&type=hourly", key: token}, 400, "type:must be daily, weekly, monthly or yearly")
		for query, want := range map[string]string{event.UID: "event", "order-7": "event", string(endpoint): "endpoint", "unknown": ""} {
			var list []matchView
			f.want(call{path: all + "/search?query=" + query, key: token}, 200, "Search results fetched successfully").data(t, &list)
			if got, _ := json.Marshal(list); len(list) > 1 || (len(list) == 1) != (want != "") || want != "" && list[0].Type != want {
				t.Errorf("%s: %s", query, got)
			}
		}
		f.want(call{path: all + "/search", key: token}, 400, "query:please provide an id")
	})
}
