package api

import (
	"encoding/base64"
	"encoding/json"
	"strconv"

	"convoy"
)

// Limits of brokers.
const (
	maxWorkers = 100
	maxBrokers = 32
	// maxServiceAccount bounds a key of Google's, in base64.
	maxServiceAccount = 32 << 10
)

// pubSubRequest is the broker of a source in requests.
type pubSubRequest struct {
	Type    string         `json:"type" enum:"sqs,google,kafka,amqp"`
	Workers int            `json:"workers" minimum:"1" maximum:"100"`
	SQS     *sqsRequest    `json:"sqs,omitempty"`
	Google  *googleRequest `json:"google,omitempty"`
	Kafka   *kafkaRequest  `json:"kafka,omitempty"`
	AMQP    *amqpRequest   `json:"amqp,omitempty"`
}

type sqsRequest struct {
	AccessKeyID   string `json:"access_key_id"`
	SecretKey     string `json:"secret_key"`
	DefaultRegion string `json:"default_region"`
	QueueName     string `json:"queue_name"`
	Endpoint      string `json:"endpoint,omitempty"`
}

type googleRequest struct {
	SubscriptionID string `json:"subscription_id"`
	ServiceAccount string `json:"service_account" doc:"The JSON key, in base64"`
	ProjectID      string `json:"project_id"`
}

type kafkaRequest struct {
	Brokers         []string          `json:"brokers"`
	ConsumerGroupID string            `json:"consumer_group_id,omitempty"`
	TopicName       string            `json:"topic_name"`
	Auth            *kafkaAuthRequest `json:"auth,omitempty"`
}

type kafkaAuthRequest struct {
	Type     string `json:"type" enum:"plain,scram"`
	Hash     string `json:"hash,omitempty" enum:"SHA256,SHA512,"`
	Username string `json:"username"`
	Password string `json:"password"`
	TLS      bool   `json:"tls,omitempty"`
}

type amqpRequest struct {
	Schema             string           `json:"schema" enum:"amqp,amqps"`
	Host               string           `json:"host"`
	Port               string           `json:"port"`
	Queue              string           `json:"queue"`
	VHost              string           `json:"vhost,omitempty"`
	Auth               *amqpAuthRequest `json:"auth,omitempty"`
	BindExchange       *amqpBindRequest `json:"bindExchange,omitempty"`
	DeadLetterExchange *string          `json:"deadLetterExchange,omitempty"`
}

type amqpAuthRequest struct {
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
}

type amqpBindRequest struct {
	Exchange   string `json:"exchange,omitempty"`
	RoutingKey string `json:"routingKey,omitempty"`
}

// applyBroker takes the broker of a source of type pub_sub, which has one.
func (q *sourceRequest) applyBroker(s *convoy.Source) error {
	if s.Type != convoy.SourcePubSub {
		s.PubSub = nil
		return nil
	}
	if q.PubSub == nil && s.PubSub != nil {
		return nil
	}
	if q.PubSub == nil || q.PubSub.Type == "" {
		return convoy.E(convoy.Invalid, "type is required")
	}
	p, err := q.PubSub.config()
	s.PubSub = p
	return err
}

func (q *pubSubRequest) config() (*convoy.PubSub, error) {
	p := &convoy.PubSub{Type: convoy.BrokerType(q.Type), Workers: q.Workers}
	var found problems
	switch {
	case q.Workers == 0:
		found.add("workers", textMissing)
	case q.Workers < 0 || q.Workers > maxWorkers:
		found.add("workers", "must be from 1 to "+itoa(maxWorkers))
	}
	switch {
	case p.Type == convoy.BrokerSQS && q.SQS != nil:
		p.SQS = q.SQS.config(&found)
	case p.Type == convoy.BrokerGoogle && q.Google != nil:
		p.Google = q.Google.config(&found)
	case p.Type == convoy.BrokerKafka && q.Kafka != nil:
		p.Kafka = q.Kafka.config(&found)
	case p.Type == convoy.BrokerAMQP && q.AMQP != nil:
		p.AMQP = q.AMQP.config(&found)
	default:
		name, ok := map[convoy.BrokerType]string{
			convoy.BrokerSQS: "sqs", convoy.BrokerGoogle: "google pub sub", convoy.BrokerKafka: "kafka", convoy.BrokerAMQP: "amqp",
		}[p.Type]
		if !ok {
			return nil, convoy.E(convoy.Invalid, "unsupported pub sub type")
		}
		return nil, convoy.E(convoy.Invalid, name+" config is required")
	}
	return p, found.err()
}

func (q *sqsRequest) config(found *problems) *convoy.SQSConfig {
	found.required("access_key_id", q.AccessKeyID, maxName, textMissing)
	found.required("secret_key", q.SecretKey, maxSecret, textMissing)
	found.required("default_region", q.DefaultRegion, maxName, textMissing)
	found.required("queue_name", q.QueueName, maxName, textMissing)
	found.text("endpoint", q.Endpoint, maxURL)
	return &convoy.SQSConfig{
		AccessKeyID: q.AccessKeyID, SecretKey: q.SecretKey, DefaultRegion: q.DefaultRegion, QueueName: q.QueueName, Endpoint: q.Endpoint,
	}
}

func (q *googleRequest) config(found *problems) *convoy.GoogleConfig {
	found.required("subscription_id", q.SubscriptionID, maxName, textMissing)
	found.required("project_id", q.ProjectID, maxName, textMissing)
	c := &convoy.GoogleConfig{SubscriptionID: q.SubscriptionID, ProjectID: q.ProjectID}
	found.required("service_account", q.ServiceAccount, maxServiceAccount, textMissing)
	if q.ServiceAccount != "" && len(q.ServiceAccount) <= maxServiceAccount {
		key, err := base64.StdEncoding.DecodeString(q.ServiceAccount)
		if err != nil || !json.Valid(key) {
			found.add("service_account", "must be a JSON key in base64")
		}
		c.ServiceAccount = key
	}
	return c
}

func (q *kafkaRequest) config(found *problems) *convoy.KafkaConfig {
	c := &convoy.KafkaConfig{Brokers: q.Brokers, ConsumerGroupID: q.ConsumerGroupID, TopicName: q.TopicName}
	switch {
	case len(q.Brokers) == 0:
		found.add("brokers", "brokers list is required")
	case len(q.Brokers) > maxBrokers:
		found.add("brokers", "must not be more than "+itoa(maxBrokers))
	default:
		for _, b := range q.Brokers {
			found.required("brokers", b, maxName, textMissing)
		}
	}
	found.required("topic_name", q.TopicName, maxName, "topic name is required")
	found.text("consumer_group_id", q.ConsumerGroupID, maxName)
	if a := q.Auth; a != nil && *a != (kafkaAuthRequest{}) {
		if a.Type != "plain" && a.Type != "scram" {
			found.add("type", "unsupported auth type")
		}
		if a.Type == "scram" && a.Hash != "SHA256" && a.Hash != "SHA512" {
			found.add("hash", "unsupported hashing algorithm")
		} else {
			found.text("hash", a.Hash, maxName)
		}
		found.required("username", a.Username, maxName, textMissing)
		found.required("password", a.Password, maxSecret, textMissing)
		c.Auth = &convoy.KafkaAuth{Type: a.Type, Hash: a.Hash, Username: a.Username, Password: a.Password, TLS: a.TLS}
	}
	return c
}

func (q *amqpRequest) config(found *problems) *convoy.AMQPConfig {
	c := &convoy.AMQPConfig{
		Schema: q.Schema, Host: q.Host, Port: q.Port, Queue: q.Queue, VHost: q.VHost, DeadLetterExchange: q.DeadLetterExchange,
	}
	switch q.Schema {
	case "amqp", "amqps":
	case "":
		found.add("schema", textMissing)
	default:
		found.add("schema", "must be amqp or amqps")
	}
	found.required("host", q.Host, maxName, textMissing)
	if q.Port == "" {
		found.add("port", textMissing)
	} else if _, err := strconv.ParseUint(q.Port, 10, 16); err != nil {
		found.add("port", "must be a port number")
	}
	found.required("queue", q.Queue, maxName, textMissing)
	found.text("vhost", q.VHost, maxName)
	if q.Auth != nil {
		found.text("user", q.Auth.User, maxName)
		found.text("password", q.Auth.Password, maxSecret)
		c.Auth = &convoy.AMQPAuth{User: q.Auth.User, Password: q.Auth.Password}
	}
	if b := q.BindExchange; b != nil {
		found.text("exchange", b.Exchange, maxName)
		found.text("routingKey", b.RoutingKey, maxName)
		if b.Exchange != "" {
			c.BoundExchange = &b.Exchange
		}
		c.RoutingKey = b.RoutingKey
	}
	if q.DeadLetterExchange != nil {
		found.text("deadLetterExchange", *q.DeadLetterExchange, maxName)
	}
	return c
}
