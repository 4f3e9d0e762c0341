"""NATS JetStream: sync requests in, events out. Needs the extra `nats`; on when NATS_URL is set."""
