package convoy

// BrokerType names a kind of message broker.
type BrokerType string

const (
	BrokerSQS    BrokerType = "sqs"
	BrokerGoogle BrokerType = "google"
	BrokerKafka  BrokerType = "kafka"
	BrokerAMQP   BrokerType = "amqp"
)

// PubSub is the message broker that a source reads, and how. It is stored and
// served as JSON with these names; of the last four one is set.
type PubSub struct {
	Type BrokerType `json:"type"`
	// Workers is how many read at once.
	Workers int           `json:"workers"`
	SQS     *SQSConfig    `json:"sqs"`
	Google  *GoogleConfig `json:"google"`
	Kafka   *KafkaConfig  `json:"kafka"`
	AMQP    *AMQPConfig   `json:"amqp"`
}

// SQSConfig is a queue of Amazon SQS.
type SQSConfig struct {
	AccessKeyID   string `json:"access_key_id"`
	SecretKey     string `json:"secret_key"`
	DefaultRegion string `json:"default_region"`
	QueueName     string `json:"queue_name"`
	// Endpoint is the service's address where it is not Amazon's.
	Endpoint string `json:"endpoint"`
}

// GoogleConfig is a subscription of Google Cloud Pub/Sub.
type GoogleConfig struct {
	SubscriptionID string `json:"subscription_id"`
	// ServiceAccount is the JSON key, in base64 in JSON.
	ServiceAccount []byte `json:"service_account"`
	ProjectID      string `json:"project_id"`
}

// KafkaConfig is a topic of Apache Kafka.
type KafkaConfig struct {
	Brokers         []string   `json:"brokers"`
	ConsumerGroupID string     `json:"consumer_group_id"`
	TopicName       string     `json:"topic_name"`
	Auth            *KafkaAuth `json:"auth"`
}

// KafkaAuth is SASL/PLAIN or SASL/SCRAM.
type KafkaAuth struct {
	Type     string `json:"type"`
	Hash     string `json:"hash"`
	Username string `json:"username"`
	Password string `json:"password"`
	TLS      bool   `json:"tls"`
}

// AMQPConfig is a queue of an AMQP 0.9.1 broker, such as RabbitMQ.
type AMQPConfig struct {
	Schema string    `json:"schema"`
	Host   string    `json:"host"`
	Port   string    `json:"port"`
	Queue  string    `json:"queue"`
	VHost  string    `json:"vhost"`
	Auth   *AMQPAuth `json:"auth"`
	// BoundExchange is what the queue is bound to, with RoutingKey; nil for
	// nothing.
	BoundExchange      *string `json:"bindedExchange"`
	RoutingKey         string  `json:"routingKey"`
	DeadLetterExchange *string `json:"deadLetterExchange"`
}

// AMQPAuth is SASL/PLAIN.
type AMQPAuth struct {
	User     string `json:"user"`
	Password string `json:"password"`
}
