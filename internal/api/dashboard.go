package api

import (
	"context"
	"net/http"
	"time"

	"convoy/internal/store"
)

func (a *api) dashboardRoutes(r *registrar) {
	const (
		tag = "Dashboard"
		all = "/ui/organisations/{orgID}/projects/{projectID}"
	)
	handle(r, operation{
		id: "GetProjectStats", access: viewsProject, method: http.MethodGet, path: all + "/stats", tag: tag,
		summary: "Say what a project has any of",
		status:  http.StatusOK, message: "Project Stats fetched successfully",
	}, a.projectStats)
	handle(r, operation{
		id: "GetDashboardSummary", access: viewsProject, method: http.MethodGet, path: all + "/dashboard/summary", tag: tag,
		summary: "Count a project's events and deliveries by period",
		status:  http.StatusOK, message: "Dashboard summary fetched successfully",
	}, a.dashboardSummary)
	handle(r, operation{
		id: "SearchProject", access: viewsProject, method: http.MethodGet, path: all + "/search", tag: tag,
		summary: "Find what has an id",
		status:  http.StatusOK, message: "Search results fetched successfully",
	}, a.search)
}

type statsView struct {
	Events        bool `json:"events_exist"`
	Sources       bool `json:"sources_exist"`
	Endpoints     bool `json:"endpoints_exist"`
	Subscriptions bool `json:"subscriptions_exist"`
}

type statsInput struct{ OrganisationProjectPath }

func (a *api) projectStats(ctx context.Context, _ *statsInput) (statsView, error) {
	p, err := a.Store.Presence(ctx, projectOf(ctx).Settings().ID)
	return statsView(p), err
}

type summaryView struct {
	Events    int64        `json:"events_sent" doc:"Events made in all of the time asked for"`
	Endpoints int          `json:"apps" doc:"Endpoints that there are now"`
	Period    string       `json:"period" enum:"daily,weekly,monthly,yearly"`
	Succeeded int64        `json:"deliveries_succeeded" doc:"Deliveries that ended well in that time"`
	Failed    int64        `json:"deliveries_failed" doc:"Deliveries that ended after their last try in that time"`
	Data      []periodView `json:"event_data" doc:"The periods in which something happened, oldest first"`
}

type periodView struct {
	Data      periodStart `json:"data"`
	Count     int64       `json:"count" doc:"Events made"`
	Succeeded int64       `json:"deliveries_succeeded"`
	Failed    int64       `json:"deliveries_failed"`
}

type periodStart struct {
	Index int    `json:"index" doc:"The number of the period in the list, from 0"`
	Date  string `json:"date" doc:"Its first day, 2006-01-02 in UTC"`
}

type summaryInput struct {
	OrganisationProjectPath
	Start string `query:"startDate" doc:"First day, 2006-01-02T15:04:05 in UTC; required"`
	End   string `query:"endDate" doc:"Last day, in the same way; today unless given"`
	Type  string `query:"type" enum:"daily,weekly,monthly,yearly" doc:"The length of a period; daily unless given. Weeks begin on Monday"`
}

// periods are the first days of what a day is in.
var periods = map[string]func(day time.Time) time.Time{
	"daily":   func(day time.Time) time.Time { return day },
	"weekly":  func(day time.Time) time.Time { return day.AddDate(0, 0, -(int(day.Weekday())+6)%7) },
	"monthly": func(day time.Time) time.Time { return time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, time.UTC) },
	"yearly":  func(day time.Time) time.Time { return time.Date(day.Year(), 1, 1, 0, 0, 0, 0, time.UTC) },
}

func (a *api) dashboardSummary(ctx context.Context, in *summaryInput) (summaryView, error) {
	v := summaryView{Period: in.Type, Data: []periodView{}}
	if v.Period == "" {
		v.Period = "daily"
	}
	first, ok := periods[v.Period]
	if !ok {
		return v, invalid("type", "must be daily, weekly, monthly or yearly")
	}
	if in.Start == "" {
		return v, errStartDate
	}
	from, to, err := (&DateQuery{in.Start, in.End}).dates(a.now())
	if err != nil {
		return v, err
	}
	p := projectOf(ctx)
	days, err := a.Store.DayCounts(ctx, p.Settings().ID, from, to)
	if err != nil {
		return v, err
	}
	v.Endpoints = p.EndpointCount()
	v.add(days, first)
	return v, nil
}

// add counts days, which are in order, by period.
func (v *summaryView) add(days []store.DayCount, first func(time.Time) time.Time) {
	for _, d := range days {
		date := first(d.Day).Format(time.DateOnly)
		n := len(v.Data)
		if n == 0 || v.Data[n-1].Data.Date != date {
			v.Data = append(v.Data, periodView{Data: periodStart{n, date}})
			n++
		}
		period := &v.Data[n-1]
		period.Count, period.Succeeded, period.Failed = period.Count+d.Events, period.Succeeded+d.Succeeded, period.Failed+d.Failed
		v.Events, v.Succeeded, v.Failed = v.Events+d.Events, v.Succeeded+d.Succeeded, v.Failed+d.Failed
	}
}

type matchView struct {
	Type  string `json:"type" enum:"event,delivery,endpoint,subscription,source,event_type,portal_link,batch_job"`
	UID   string `json:"uid"`
	Title string `json:"title" doc:"A name, a type of event or a state"`
}

type searchInput struct {
	OrganisationProjectPath
	Query string `query:"query" doc:"An id, an event's idempotency key or a source's mask, whole; required"`
}

func (a *api) search(ctx context.Context, in *searchInput) ([]matchView, error) {
	if in.Query == "" {
		return nil, invalid("query", "please provide an id")
	}
	list, err := a.Store.Find(ctx, projectOf(ctx).Settings().ID, in.Query)
	if err != nil {
		return nil, err
	}
	out := make([]matchView, len(list))
	for i, m := range list {
		out[i] = matchView{m.Kind, m.ID, m.Title}
	}
	return out, nil
}
