SELECT user_id,
       COUNT(*)                                    OVER w30m AS txn_count_30m,
       AVG(amount)                                 OVER w1h  AS avg_amount_1h,
       SUM(amount) FILTER (WHERE category = 'atm') OVER w1h  AS atm_amount_1h,
       MAX(amount)                                 OVER w24h AS max_amount_24h,
       COUNT(DISTINCT category)                    OVER w24h AS categories_24h,
       AVG(amount)                                 OVER w10  AS avg_last_10
FROM transactions
WHERE amount > 0
WINDOW w30m AS (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW),
       w1h  AS (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW),
       w10  AS (PARTITION BY user_id ORDER BY event_time, txn_id ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)
