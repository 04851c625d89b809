// Command clients uses the client that is generated from the document of a
// running server, into the package convoy, as a customer would.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"clients/convoy"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	project := os.Getenv("CONVOY_PROJECT_ID")
	c, err := convoy.NewClientWithResponses(os.Getenv("CONVOY_URL"), convoy.WithRequestEditorFn(func(_ context.Context, req *http.Request) error {
		req.Header.Set("Authorization", "Bearer "+os.Getenv("CONVOY_API_KEY"))
		return nil
	}))
	if err != nil {
		return err
	}
	endpoint, err := c.CreateEndpointWithResponse(ctx, project, convoy.EndpointRequest{Name: "go", Url: os.Getenv("RECEIVER") + "/go"})
	if err != nil || endpoint.JSON201 == nil {
		return fmt.Errorf("create an endpoint: %w, %s", err, endpoint.Body)
	}
	id := endpoint.JSON201.Data.Uid
	name := "go"
	subscription, err := c.CreateSubscriptionWithResponse(ctx, project, convoy.SubscriptionRequest{Name: &name, EndpointId: &id})
	if err != nil || subscription.JSON201 == nil {
		return fmt.Errorf("create a subscription: %w, %s", err, subscription.Body)
	}
	event, err := c.CreateEndpointEventWithResponse(ctx, project, convoy.PublishRequest{EndpointId: &id, EventType: "go.happened", Data: map[string]any{"amount": 12}})
	if err != nil || event.JSON201 == nil {
		return fmt.Errorf("publish: %w, %s", err, event.Body)
	}
	for {
		deliveries, err := c.GetEventDeliveriesPagedWithResponse(ctx, project, &convoy.GetEventDeliveriesPagedParams{EventId: &event.JSON201.Data.Uid})
		if err != nil || deliveries.JSON200 == nil {
			return fmt.Errorf("list deliveries: %w, %s", err, deliveries.Body)
		}
		if list := deliveries.JSON200.Data.Content; len(list) == 1 && list[0].Status == "Success" {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	missing, err := c.GetEndpointWithResponse(ctx, project, "01K1ZZZZZZZZZZZZZZZZZZZZZZ")
	if err != nil || missing.JSON404 == nil || missing.JSON404.Message != "Resource not found" {
		return fmt.Errorf("an endpoint that does not exist: %w, %s", err, missing.Body)
	}
	fmt.Println("delivered", subscription.JSON201.Data.Name)
	return nil
}
