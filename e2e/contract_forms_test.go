package e2e

// contractForms are the objects of the API as its contract describes them (its
// section 3), with what docs/differences.md adds.
var contractForms = map[string]string{
	"pagination": `{"per_page":"int","has_next_page":"bool","has_prev_page":"bool","prev_page_cursor":"string","next_page_cursor":"string"}`,

	"project": `{"uid":"id","name":"text","logo_url":"string","organisation_id":"id","type":"text","config":"@config",
		"statistics":null,"retained_events":"int","created_at":"time","updated_at":"time","deleted_at":null}`,
	"config": `{"max_payload_read_size":"int","replay_attacks_prevention_enabled":"bool","add_event_id_trace_headers":"bool",
		"disable_endpoint":"bool","multiple_endpoint_subscriptions":"bool","verify_dynamic_events":"bool",
		"allow_unmatched_dynamic_urls":"bool","search_policy":"string","ssl":{"enforce_secure_endpoints":"bool"},
		"ratelimit":{"count":"int","duration":"int"},"strategy":{"type":"retry type","duration":"int","retry_count":"int"},
		"signature":{"header":"text","versions":[{"uid":"id","hash":"text","encoding":"text","created_at":"time"}]},
		"request_id_header":"text","meta_event":"@metaConfig","circuit_breaker":"@breaker",
		"event_type_validation":"text","portal_frame_ancestors":"strings"}`,
	"metaConfig": `{"is_enabled":"bool","type":"string","event_type":"strings|null","url":"string","secret":"string","pub_sub":"object|null"}`,
	"breaker": `{"sample_rate":"int","error_timeout":"int","failure_threshold":"int","success_threshold":"int",
		"observability_window":"int","minimum_request_count":"int","consecutive_failure_threshold":"int"}`,
	"newProject": `{"api_key":{"name":"text","role":{"type":"=project_admin","project":"id"},"key_type":"=","expires_at":null,
		"key":"text","uid":"id","created_at":"time"},"project":"@project"}`,
	// The defaults of a project that was created without settings.
	"defaultConfig": `{"max_payload_read_size":51200,"replay_attacks_prevention_enabled":false,"add_event_id_trace_headers":false,
		"disable_endpoint":false,"multiple_endpoint_subscriptions":false,"verify_dynamic_events":false,
		"allow_unmatched_dynamic_urls":false,"search_policy":"=","ssl":{"enforce_secure_endpoints":false},
		"ratelimit":{"count":1000,"duration":60},"strategy":{"type":"=linear","duration":100,"retry_count":10},
		"signature":{"header":"=X-Convoy-Signature","versions":[{"uid":"id","hash":"=SHA256","encoding":"=hex","created_at":"time"}]},
		"request_id_header":"=X-Convoy-Idempotency-Key",
		"meta_event":{"is_enabled":false,"type":"=","event_type":"strings|null","url":"=","secret":"=","pub_sub":"object|null"},
		"circuit_breaker":{"sample_rate":30,"error_timeout":30,"failure_threshold":70,"success_threshold":5,
			"observability_window":5,"minimum_request_count":10,"consecutive_failure_threshold":10},
		"event_type_validation":"=off","portal_frame_ancestors":[]}`,

	"secret":   `{"uid":"id","value":"text","expires_at":"time|null","created_at":"time","updated_at":"time","deleted_at":"time|null"}`,
	"endpoint": endpointForm(`"url":"text","name":"text","http_timeout":"int","rate_limit_duration":"int"`),
	// What callers of older versions get (section 1.6).
	"endpoint before 2024-04-01": endpointForm(`"target_url":"text","title":"text","http_timeout":"int","rate_limit_duration":"int"`),
	"endpoint before 2024-01-01": endpointForm(`"target_url":"text","title":"text","http_timeout":"duration","rate_limit_duration":"duration"`),
	"rates": `{"uid":"id","period_failure_rate":"number|null","success_count":"int|null","failure_count":"int|null",
		"retry_count":"int|null"}`,
	"oauth2Test": `{"success":"bool","access_token?":"string","token_type?":"string","expires_at":"string|null","error?":"string","message?":"string"}`,

	"eventType": `{"uid":"id","name":"text","category":"string","json_schema":"object|null","description":"string","deprecated_at":"time|null"}`,

	"newSubscription": subscriptionForm(`"source_metadata":null,"endpoint_metadata":null,"device_metadata":null`),
	"subscription": subscriptionForm(`"source_metadata":"object|null","device_metadata":"object|null",
		"endpoint_metadata":{"uid":"id","name":"text","url":"text","secrets":["@secret"],"...":"any"}`),
	"conditions": `{"is_flattened":"bool","headers":"object","body":"object","query":"object","path":"object"}`,
	"filter": `{"uid":"id","subscription_id":"id","event_type":"text","enabled_at":"time|null",
		"headers":"object","body":"object","query":"object","path":"object",
		"raw_headers":"object","raw_body":"object","raw_query":"object","raw_path":"object"}`,
	"run": `{"payload":"any","log":"strings"}`,

	"source": `{"uid":"id","project_id":"id","mask_id":"text","name":"text","url":"string","type":"source type","provider":"string",
		"is_disabled":"bool","verifier":"@verifier|null","custom_response":{"body":"string","content_type":"string"},
		"provider_config":"object|null","forward_headers":"strings|null","pub_sub":"@pubSub","idempotency_keys":"strings|null",
		"event_type_location":"string","body_function":"text|null","header_function":"text|null",
		"created_at":"time","updated_at":"time","deleted_at":null}`,
	"pubSub": `{"type":"string","workers":"int","sqs":"object|null","google":"object|null","kafka":"@kafka|null","amqp":"@amqp|null"}`,
	"kafka":  `{"brokers":"strings","consumer_group_id":"string","topic_name":"text","auth":"object|null"}`,
	"amqp": `{"schema":"text","host":"text","port":"text","queue":"text","vhost":"string","auth":"object|null",
		"bindedExchange":"text|null","routingKey":"string","deadLetterExchange":"string|null"}`,
	"verifier": `{"type?":"text","hmac":"@hmac|null","basic_auth":"@basicAuth|null","api_key":"@apiKey|null"}`,
	"hmac": `{"header":"text","hash":"text","secret":"text","encoding":"text",
		"template?":"text","timestamp_header?":"text","tolerance?":"int"}`,
	"basicAuth": `{"username":"text","password":"text"}`,
	"apiKey":    `{"header_name":"text","header_value":"text"}`,
	"noop":      `{"type":"=noop","hmac":null,"basic_auth":null,"api_key":null}`,

	"event": `{"uid":"id","event_type":"text","source_id?":"id","app_id?":"text","project_id?":"id","endpoints":"strings",
		"headers":"lists","source_metadata":"object","url_query_params":"string","url_path":"string","idempotency_key":"string",
		"is_duplicate_event":"bool","data":"any","status":"event status","raw?":"text","failure_reason?":"text","schema_error?":"text",
		"acknowledged_at":"time|null","created_at":"time","updated_at":"time","deleted_at":null}`,
	"delivery": `{"uid":"id","project_id?":"id","event_id?":"id","endpoint_id?":"id","device_id":"string","subscription_id?":"id",
		"headers":"lists|null","target_url?":"text","url_query_params":"string","idempotency_key":"string","latency":"string",
		"latency_seconds":"number","event_type?":"text","description?":"text","delivery_mode":"delivery mode",
		"endpoint_metadata":{"uid":"id","name":"text","project_id":"id","support_email":"string","url":"text","owner_id":"string",
			"status":"endpoint status","deleted_at":"time|null","secrets":null,"...":"any"},
		"event_metadata":{"uid":"id","event_type":"text","created_at":"time","...":"any"},
		"source_metadata":{"uid":"string","name":"string","idempotency_keys":"strings|null","...":"any"},
		"device_metadata":{"uid":"string","status":"string","host_name":"string","...":"any"},
		"status":"delivery status","metadata":"@deliveryMetadata","cli_metadata":null,"acknowledged_at":"time|null",
		"created_at":"time","updated_at":"time","deleted_at":null}`,
	"deliveryMetadata": `{"data":"any","raw":"string","strategy":"retry type","next_send_time":"any time","num_trials":"int","interval_seconds":"int",
		"retry_limit":"int","max_retry_seconds":"int"}`,
	"attempt": `{"uid":"id","url":"text","method":"=POST","endpoint_id":"id","api_version":"string","project_id":"id","msg_id":"id",
		"ip_address?":"text","request_http_header?":"texts","response_http_header?":"texts","http_status?":"text",
		"response_data?":"text","error?":"text","status?":true,"requested_at":"time|null","responded_at":"time|null",
		"created_at":"time","updated_at":"time","deleted_at":null}`,
	"metaEvent": `{"uid":"id","project_id":"id","event_type":"text","metadata":"@deliveryMetadata",
		"attempt":"@metaAttempt|null","status":"delivery status","created_at":"time","updated_at":"time","deleted_at":null}`,
	"metaAttempt": `{"request_http_header":"texts|null","response_http_header":"texts|null","response_data?":"text"}`,

	"portalLink": `{"uid":"id","name":"text","project_id":"id","owner_id":"string","endpoints":"strings","endpoint_count":"int",
		"can_manage_endpoint":"bool","token":"text","endpoints_metadata":["?",{"uid":"id","name":"text","project_id":"id","url":"text",
			"secrets":null,"...":"any"}],"url":"text","auth_type":"text","auth_key":"string",
		"created_at":"time","updated_at":"time","deleted_at":null}`,
	"onboarded": `{"batch_count":"int","total_items":"int","message":"text"}`,
	"dryRun":    `{"total_rows":"int","valid_count":"int","errors":["?",{"row":"int","field":"text","message":"text"}]}`,
}

// endpointForm is that of an endpoint but for the keys that versions differ in.
func endpointForm(versioned string) string {
	return `{"uid":"id","project_id":"id",` + versioned + `,"description":"string","content_type":"text",
		"owner_id?":"text","slack_webhook_url?":"text","teams_webhook_url?":"text","support_email?":"text","secrets":["@secret"],
		"advanced_signatures":"bool","status":"endpoint status","rate_limit":"int","events?":"int","authentication":"object|null",
		"failure_rate":"number|null","cb_state":"text|null","period_failure_rate":"number|null","success_count":"int|null",
		"failure_count":"int|null","retry_count":"int|null","mtls_client_cert?":"object",
		"created_at":"time","updated_at":"time","deleted_at":null}`
}

func subscriptionForm(metadata string) string {
	return `{"uid":"id","name":"text","type":"=api","project_id":"id","function":"text|null",` + metadata + `,
		"alert_config?":{"count":"int","threshold":"text"},"retry_config?":{"type?":"retry type","duration?":"int","retry_count":"int"},
		"filter_config?":{"event_types":"strings","filter":"@conditions"},"rate_limit_config?":{"count":"int","duration":"int"},
		"delivery_mode?":"delivery mode","created_at":"time","updated_at":"time","deleted_at":null}`
}

// paged is the form of a list with pages.
func paged(one string) string {
	return `{"content":["` + one + `"],"pagination":"@pagination"}`
}
