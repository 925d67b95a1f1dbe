-- Features of card fraud over the source `transactions`: what a card did lately, and what its
-- shop sees. Current values go to Redis if REDIS is set, else they stay with the engine.
CREATE FEATURE user_spend
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'What a user spent lately, per transaction'
) AS
SELECT user_id,
       txn_id,
       COUNT(*)                                    OVER w30m AS txn_count_30m,
       AVG(amount)                                 OVER w1h  AS avg_amount_1h,
       STDDEV_SAMP(amount)                         OVER w1h  AS stddev_amount_1h,
       SUM(amount) FILTER (WHERE category = 'atm') OVER w1h  AS atm_amount_1h,
       MAX(amount)                                 OVER w24h AS max_amount_24h,
       COUNT(DISTINCT category)                    OVER w24h AS categories_24h,
       AVG(amount)                                 OVER w10  AS avg_last_10,
       amount - AVG(amount)                        OVER w24h AS above_usual
FROM transactions
WHERE amount > 0
WINDOW w30m AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW),
       w1h  AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW),
       w10  AS (PARTITION BY user_id ORDER BY event_time, txn_id
                ROWS BETWEEN 9 PRECEDING AND CURRENT ROW);

CREATE FEATURE merchant_minute
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'What a merchant took in each minute'
) AS
SELECT merchant_id,
       COUNT(*)                AS txn_count,
       SUM(amount)             AS amount,
       COUNT(DISTINCT user_id) AS users
FROM TUMBLE(transactions, event_time, INTERVAL '1 minute')
GROUP BY merchant_id, window_start, window_end;
