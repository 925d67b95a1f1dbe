-- Recommendations and marketing over a Kafka topic of what people do in a shop.
CREATE SOURCE actions (
    user_id    BIGINT NOT NULL,
    item_id    BIGINT,
    category   VARCHAR,
    channel    VARCHAR,
    kind       VARCHAR,
    price      DOUBLE,
    event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
) WITH (
    'connector' = 'kafka',
    'topic' = '${ACTIONS_TOPIC:-actions}',
    'properties.bootstrap.servers' = '${KAFKA:-localhost:9092}',
    'format' = 'json'
);

CREATE FEATURE user_taste
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'What a user looked at and bought lately'
) AS
SELECT user_id,
       last_n(item_id, 10)                                OVER w7d AS last_items,
       topn_frequency(category, 3)                        OVER w7d AS categories,
       entropy(category)                                  OVER w7d AS variety,
       sum_cate_where(price, kind = 'buy', category)      OVER w7d AS spent_by_category
FROM actions
WINDOW w7d AS (PARTITION BY user_id ORDER BY event_time
               RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW);

CREATE FEATURE user_channels
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'Which channels a user answers'
) AS
SELECT user_id,
       count_cate(user_id, channel)  OVER w30d AS actions_by_channel,
       count_if(kind = 'buy')        OVER w30d AS conversions,
       sum_if(price, kind = 'buy')   OVER w30d AS revenue,
       hour_of_week(event_time)                AS hour_of_week
FROM actions
WINDOW w30d AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '30' DAY PRECEDING AND CURRENT ROW);

CREATE FEATURE trending_items
WITH (
    'online' = '${REDIS:-embedded}',
    'description' = 'The ten items that were looked at and bought most in the last hour'
) AS
SELECT topn_frequency(item_id, 10) AS items,
       top1_ratio(item_id)         AS share_of_first,
       COUNT(DISTINCT user_id)     AS users
FROM HOP(actions, event_time, INTERVAL '10 minutes', INTERVAL '1 hour')
WHERE item_id IS NOT NULL
GROUP BY window_start, window_end;
