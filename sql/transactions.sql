-- Card transactions, generated: equal seeds make equal rows. The demo uses this source; the
-- example in examples/fraud reads the same rows from a Kafka topic.
CREATE SOURCE transactions (
    txn_id      BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    merchant_id BIGINT,
    category    VARCHAR,
    amount      DOUBLE,
    event_time  TIMESTAMP NOT NULL,
    is_big      BOOLEAN AS (amount > 1000),
    WATERMARK FOR event_time AS event_time - INTERVAL '30 seconds'
) WITH (
    'connector' = 'datagen',
    'rows' = '${TRANSACTIONS_ROWS:-300000}',
    'seed' = '${TRANSACTIONS_SEED:-1}',
    'history' = '${TRANSACTIONS_HISTORY:-.skewless/history/transactions}',
    'archive' = 'true'
);
