-- Card transactions generated on the spot, and what a model wants to know of a user. Current
-- values go to Redis as well if REDIS is set; HTTP answers either way.
CREATE SOURCE transactions (
    txn_id      BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    merchant_id BIGINT,
    category    VARCHAR,
    amount      DOUBLE,
    event_time  TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '30 seconds'
) WITH ('connector' = 'datagen', 'rate' = '2000');

CREATE FEATURE user_spend
WITH ('online' = '${REDIS:-embedded}')
AS
SELECT user_id,
       COUNT(*)    OVER w30m AS txn_count_30m,
       AVG(amount) OVER w1h  AS avg_amount_1h,
       MAX(amount) OVER w24h AS max_amount_24h
FROM transactions
WINDOW w30m AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW),
       w1h  AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW);
