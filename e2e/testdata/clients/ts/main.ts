// Uses the types that are generated from the document of a running server, as a
// customer would.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

const path = { projectID: setting("CONVOY_PROJECT_ID") };
const api = createClient<paths>({
  baseUrl: setting("CONVOY_URL"),
  headers: { Authorization: `Bearer ${setting("CONVOY_API_KEY")}` },
});

const endpoint = await api.POST("/api/v1/projects/{projectID}/endpoints", {
  params: { path },
  body: { name: "ts", url: setting("RECEIVER") + "/ts" },
});
if (!endpoint.data) throw new Error(`create an endpoint: ${endpoint.error.message}`);
const created: components["schemas"]["EndpointView"] = endpoint.data.data;

const subscription = await api.POST("/api/v1/projects/{projectID}/subscriptions", {
  params: { path },
  body: { name: "ts", endpoint_id: created.uid },
});
if (!subscription.data) throw new Error(`create a subscription: ${subscription.error.message}`);

const event = await api.POST("/api/v1/projects/{projectID}/events", {
  params: { path },
  body: { endpoint_id: created.uid, event_type: "ts.happened", data: { amount: 12 } },
});
if (!event.data) throw new Error(`publish: ${event.error.message}`);

const deadline = Date.now() + 60_000;
for (;;) {
  const deliveries = await api.GET("/api/v1/projects/{projectID}/eventdeliveries", {
    params: { path, query: { eventId: event.data.data.uid } },
  });
  if (!deliveries.data) throw new Error(`list deliveries: ${deliveries.error.message}`);
  if (deliveries.data.data.content[0]?.status === "Success") break;
  if (Date.now() > deadline) throw new Error("not delivered within a minute");
  await new Promise((resolve) => setTimeout(resolve, 20));
}

const missing = await api.GET("/api/v1/projects/{projectID}/endpoints/{endpointID}", {
  params: { path: { ...path, endpointID: "01K1ZZZZZZZZZZZZZZZZZZZZZZ" } },
});
if (missing.error?.message !== "Resource not found") throw new Error(`an endpoint that does not exist: ${missing.response.status}`);

console.log("delivered", subscription.data.data.name);
