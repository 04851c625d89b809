package api

import (
	"errors"
	"strconv"
	"strings"

	"convoy"
	"convoy/internal/id"
	"convoy/internal/store"
)

const (
	defaultPerPage = 20
	maxPerPage     = 1000
	// maxFilter bounds one query parameter, in characters.
	maxFilter = 1024
	// maxFilterValues bounds how often a parameter may be repeated.
	maxFilterValues = 200
)

// PageQuery is the part of a list's query that says which page is wanted. A
// cursor is the id of the row a page begins with. It is exported because huma
// reads only exported fields.
type PageQuery struct {
	PerPage   string `query:"perPage" doc:"Rows per page"`
	Sort      string `query:"sort" enum:"ASC,DESC" doc:"Order by id, and so by age; DESC unless given"`
	Direction string `query:"direction" enum:"next,prev" doc:"Which of the cursors counts; next unless given"`
	Next      string `query:"next_page_cursor" doc:"Where the page begins"`
	Prev      string `query:"prev_page_cursor" doc:"Where the page that follows the wanted one begins"`
}

// page checks the query. A perPage that is no number has always meant the
// default.
func (q *PageQuery) page() (store.Page, error) {
	p := store.Page{PerPage: defaultPerPage, Asc: strings.EqualFold(q.Sort, "ASC")}
	if n, err := strconv.Atoi(q.PerPage); err == nil || isRange(err) {
		if err != nil || n < 1 || n > maxPerPage {
			return p, invalid("perPage", "must be from 1 to "+itoa(maxPerPage))
		}
		p.PerPage = n
	}
	name := "next_page_cursor"
	switch strings.ToLower(q.Direction) {
	case "", "next":
		p.Cursor = q.Next
	case "prev":
		p.Prev, p.Cursor, name = true, q.Prev, "prev_page_cursor"
	default:
		return p, invalid("direction", "must be next or prev")
	}
	if p.Cursor != "" && !id.Valid(p.Cursor) {
		return p, invalid(name, "must be a cursor of another page")
	}
	return p, nil
}

func isRange(err error) bool { return errors.Is(err, strconv.ErrRange) }

// paged is the payload of a list.
type paged[T any] struct {
	Content    []T        `json:"content"`
	Pagination pagination `json:"pagination"`
}

type pagination struct {
	PerPage    int    `json:"per_page"`
	HasNext    bool   `json:"has_next_page"`
	HasPrev    bool   `json:"has_prev_page"`
	PrevCursor string `json:"prev_page_cursor"`
	NextCursor string `json:"next_page_cursor"`
}

// pageOf turns a page of the store into the payload of a list.
func pageOf[S, T any](p store.Paged[S], perPage int, view func(S) T) paged[T] {
	out := paged[T]{
		Content: make([]T, len(p.Items)),
		Pagination: pagination{
			PerPage: perPage, HasNext: p.HasNext, HasPrev: p.HasPrev, PrevCursor: p.PrevCursor, NextCursor: p.NextCursor,
		},
	}
	for i, item := range p.Items {
		out.Content[i] = view(item)
	}
	return out
}

// endpointIDs turns filter values into ids. One that is no id can match
// nothing; it stays, so that the filter is not widened.
func endpointIDs(values []string) []convoy.EndpointID {
	ids := make([]convoy.EndpointID, 0, len(values))
	for _, v := range values {
		if v != "" {
			ids = append(ids, convoy.EndpointID(v))
		}
	}
	return ids
}
