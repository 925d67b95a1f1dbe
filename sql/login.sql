-- Login security over a Kafka topic of login attempts: what an account did lately, and how many
-- accounts an address tries.
CREATE SOURCE logins (
    user_id    BIGINT NOT NULL,
    ip         VARCHAR,
    country    VARCHAR,
    success    BOOLEAN NOT NULL,
    event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '30 seconds'
) WITH (
    'connector' = 'kafka',
    'topic' = '${LOGINS_TOPIC:-logins}',
    'properties.bootstrap.servers' = '${KAFKA:-localhost:9092}',
    'format' = 'json'
);

CREATE FEATURE account_logins
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'Failed and unusual logins of an account'
) AS
SELECT user_id,
       count_if(NOT success)         OVER w10m AS failed_10m,
       COUNT(*)                      OVER w1h  AS attempts_1h,
       COUNT(DISTINCT ip)            OVER w1h  AS addresses_1h,
       COUNT(DISTINCT country)       OVER w24h AS countries_24h,
       last_distinct_n(country, 3)   OVER w24h AS last_countries,
       time_since_last()             OVER w24h AS seconds_since_last,
       is_weekend(event_time)                  AS weekend
FROM logins
WINDOW w10m AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '10' MINUTE PRECEDING AND CURRENT ROW),
       w1h  AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW);

CREATE FEATURE address_logins
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'Accounts that an address tries'
) AS
SELECT ip,
       COUNT(DISTINCT user_id) OVER w AS accounts_10m,
       AVG(CASE WHEN success THEN 0.0 ELSE 1.0 END) OVER w AS failure_ratio_10m
FROM logins
WHERE ip IS NOT NULL
WINDOW w AS (PARTITION BY ip ORDER BY event_time
             RANGE BETWEEN INTERVAL '10' MINUTE PRECEDING AND CURRENT ROW);
