package api

import (
	"context"
	"net/http"
	"time"

	"convoy"
	"convoy/internal/id"
)

const jobMissing = "batch job not found"

// jobView is a batch job as clients see it.
type jobView struct {
	UID        convoy.BatchJobID  `json:"uid"`
	ProjectID  convoy.ProjectID   `json:"project_id"`
	Kind       convoy.BatchKind   `json:"kind" enum:"replay,retry"`
	State      convoy.BatchState  `json:"state" enum:"queued,running,paused,cancelled,done,failed"`
	Filter     convoy.BatchFilter `json:"filter"`
	Matched    int                `json:"matched" doc:"How many met the filter when the job was made"`
	Processed  int                `json:"processed" doc:"How many are done with"`
	Succeeded  int                `json:"succeeded" doc:"How many of these were scheduled"`
	Failed     int                `json:"failed"`
	Failures   map[string]int     `json:"failures" doc:"The failed ones by why"`
	Rate       int                `json:"rate" doc:"The most that are processed in a second"`
	Error      string             `json:"error" doc:"Why the job does not proceed; empty when it does"`
	CreatedAt  time.Time          `json:"created_at"`
	StartedAt  *time.Time         `json:"started_at"`
	FinishedAt *time.Time         `json:"finished_at"`
	UpdatedAt  time.Time          `json:"updated_at"`
}

func viewJob(j *convoy.BatchJob) jobView {
	v := jobView{
		UID: j.ID, ProjectID: j.ProjectID, Kind: j.Kind, State: j.State, Filter: j.Filter,
		Matched: j.Matched, Processed: j.Processed, Succeeded: j.Succeeded, Failed: j.Failed, Failures: j.Reasons, Rate: j.Rate, Error: j.Error,
		CreatedAt: j.CreatedAt, StartedAt: nullTime(j.StartedAt), FinishedAt: nullTime(j.FinishedAt), UpdatedAt: j.UpdatedAt,
	}
	if v.Failures == nil {
		v.Failures = map[string]int{}
	}
	return v
}

func (a *api) jobRoutes(r *registrar) {
	const (
		tag = "Batch Jobs"
		all = "/api/v1/projects/{projectID}/jobs"
		one = all + "/{jobID}"
	)
	handle(r, operation{
		id: "ListBatchJobs", access: viewsProject, method: http.MethodGet, path: all, tag: tag, summary: "List batch jobs",
		status: http.StatusOK, message: "Batch jobs fetched successfully",
	}, a.jobs)
	handle(r, operation{
		id: "GetBatchJob", access: viewsProject, method: http.MethodGet, path: one, tag: tag, summary: "Get a batch job and its progress",
		status: http.StatusOK, message: "Batch job fetched successfully",
	}, a.job)
	for _, op := range []struct {
		id, path, summary, message string
		to                         convoy.BatchState
	}{
		{"PauseBatchJob", "/pause", "Pause a batch job", "Batch job paused successfully", convoy.BatchPaused},
		{"ResumeBatchJob", "/resume", "Resume a batch job that is paused or has failed", "Batch job resumed successfully", convoy.BatchQueued},
		{"CancelBatchJob", "/cancel", "Cancel a batch job", "Batch job cancelled successfully", convoy.BatchCancelled},
	} {
		handle(r, operation{
			id: op.id, access: managesProject, method: http.MethodPut, path: one + op.path, tag: tag, summary: op.summary, status: http.StatusOK, message: op.message,
		}, func(ctx context.Context, in *jobInput) (jobView, error) { return a.setJob(ctx, in, op.to) })
	}
}

type jobsInput struct {
	ProjectPath
	PageQuery
}

func (a *api) jobs(ctx context.Context, in *jobsInput) (paged[jobView], error) {
	var none paged[jobView]
	p := projectOf(ctx)
	page, err := in.page()
	if err != nil {
		return none, err
	}
	list, err := a.Store.BatchJobs(ctx, p.Settings().ID, page)
	if err != nil {
		return none, err
	}
	return pageOf(list, page.PerPage, viewJob), nil
}

type jobInput struct {
	ProjectPath
	Job string `path:"jobID" doc:"The batch job's id"`
}

func (a *api) job(ctx context.Context, in *jobInput) (jobView, error) {
	p := projectOf(ctx)
	if !id.Valid(in.Job) {
		return jobView{}, convoy.E(convoy.NotFound, jobMissing)
	}
	j, err := a.Store.BatchJob(ctx, p.Settings().ID, convoy.BatchJobID(in.Job))
	if err != nil {
		return jobView{}, err
	}
	return viewJob(j), nil
}

func (a *api) setJob(ctx context.Context, in *jobInput, to convoy.BatchState) (jobView, error) {
	p := projectOf(ctx)
	if !id.Valid(in.Job) {
		return jobView{}, convoy.E(convoy.Invalid, jobMissing)
	}
	j, err := a.Store.SetBatchState(ctx, p.Settings().ID, convoy.BatchJobID(in.Job), to, a.now())
	if err != nil {
		return jobView{}, refuse(err, jobMissing)
	}
	if to == convoy.BatchQueued {
		a.Jobs.Wake(ctx)
	}
	return viewJob(j), nil
}
