-- Card transactions as JSON messages on a Kafka topic. The admitted ones are archived as Parquet:
-- that is the history which backfills read.
CREATE SOURCE transactions (
    txn_id      BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    merchant_id BIGINT,
    category    VARCHAR,
    amount      DOUBLE,
    event_time  TIMESTAMP NOT NULL,
    is_big      BOOLEAN AS (amount > 1000),
    part        INT METADATA FROM 'partition',
    WATERMARK FOR event_time AS event_time - INTERVAL '30 seconds'
) WITH (
    'connector' = 'kafka',
    'topic' = '${TOPIC:-transactions}',
    'properties.bootstrap.servers' = '${KAFKA:-127.0.0.1:9092}',
    'format' = 'json',
    'history' = '${SKEWLESS_HOME:-.skewless}/history/transactions',
    'archive' = 'true'
);
